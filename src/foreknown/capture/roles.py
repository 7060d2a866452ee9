"""What a field of a configuration is (a width, a count of heads, a depth …), by its name alone."""

from __future__ import annotations

import re

ROLES: tuple[tuple[str, str], ...] = (  # the first pattern that is found in the name decides
    ("token", r"token_(id|index)|^(bos|eos|pad|unk|mask)_(index|id)$|^lang_id$|suppress_tokens"),
    ("keep", r"kernel|_conv$|d_conv|L_cache|conv1d_width|codebooks|image_size|patch|^layer_norm"),
    ("keep", r"^seed$|altup|nextn|mtp|channels|temporal|type_vocab|^num_mem_blocks$"),
    ("tail", r"_kv_shared_layers$"),
    ("first", r"^first_k|num_dense_layers|max_window_layers|layer_start_index"),
    ("last", r"layer_end_index"),
    ("vocab", r"vocab"),
    ("depth", r"^(num_hidden_layers|n_layers?|num_layers|num_blocks|num_layers_per_stack)$"),
    ("depth", r"^(num_)?(en|de)coder_layers$"),
    ("period", r"pattern|period|interval|every|sparse_step|layer_step|layer_group_size"),
    ("offset", r"layer_offset"),
    ("window", r"window|chunk_(size|length)$|chunk_len|(^|_)block_size|^local_attention$"),
    ("window", r"index_topk$|floor_scale|log_scaling_n_floor|^index_block|rel_extent|_chunksize$"),
    (
        "top",
        r"topk_blocks|_per_tok|top_?k_experts|moe_top_?k|^moe_k$|centroid.*top_k|random_blocks",
    ),
    ("groups", r"^n_group$|num_expert_group|^topk_group$"),
    ("shared", r"shared_experts$"),
    ("expert_width", r"(expert|moe).*(size|dim)"),
    ("experts", r"experts?$|zero_expert_num|num_centroids"),
    ("rope_dim", r"rope_head_dim|rotary_dim"),
    ("head_dim", r"head_?dim|d_head|dim_head|head_size|kv_channels|query_pre_attn|d_rel"),
    ("index_heads", r"^index(er)?_n_heads$"),
    ("kv_heads", r"(kv|key_value|key)_(n_)?heads?$|query_groups|kv_n_heads"),
    ("heads", r"heads?$|^num_attention_heads_per_layer$"),
    ("state_groups", r"n_?groups$|o_groups"),
    ("state", r"d_state|state_size"),
    ("rank", r"rank"),
    ("positions", r"max_position|n_positions|max_seq_len|n_ctx|(source|target)_positions"),
    ("positions", r"context_length|model_max_length|max_distance|mem_len|max_length"),
    ("width", r"hidden|model|embd|emb_dim|embedding|embed|ffn|ff$|dff|inner|intermediate|width"),
    ("width", r"feed_forward|_dim$|_size$|d_ssm|dim_model_base|mid_dim|_dim_"),
)


def role_of(name: str) -> str:
    """The role of a field; "other" where its name says nothing."""
    for role, pattern in ROLES:
        if re.search(pattern, name):
            return role
    return "other"
