/** One answer of a model, asked for and streamed. */

import { call, errorOf, ServerError } from "./server.js";
import { events } from "./stream.js";

/**
 * The pieces of an answer as they come: {text}, {reasoning}, {finish}, {usage} or {foreknown}: what
 * was forecast, planned and promised of it, and in the end how it came out.
 *
 * `model` is an entry of /v1/models, `conversation` a Conversation that ends with what the reader
 * said, `settings` what Parameters gave. Throws ServerError, also for a stream that breaks off; an
 * AbortError once `signal` is raised.
 */
export async function* answer(model, conversation, settings, signal) {
  const [path, body] = question(model, conversation, settings);
  const response = await call(path, { body, signal });
  let done = false;
  // Read to the very end: a stream that is left early costs its connection.
  for await (const event of events(response)) {
    done = event === "[DONE]";
    if (done) continue;
    const chunk = read(event);
    if (chunk.error) throw errorOf(chunk);
    yield* pieces(chunk);
  }
  if (!done) throw new ServerError("the answer broke off: the server ended it too soon");
}

function read(event) {
  try {
    return JSON.parse(event);
  } catch {
    throw new ServerError("the answer broke off: the server sent what is no JSON");
  }
}

function question(model, conversation, { system, ...sampling }) {
  const shared = { model: model.id, stream: true, stream_options: { include_usage: true } };
  shared.forecast = true;
  // Who has an answer thought over wants to see how it came about.
  if (sampling.strategy) shared.trace = true;
  if (model.chat !== false) {
    const messages = conversation.messages(system);
    return ["v1/chat/completions", { ...shared, ...sampling, messages }];
  }
  const { max_completion_tokens, ...rest } = sampling;
  if (max_completion_tokens !== undefined) rest.max_tokens = max_completion_tokens;
  return ["v1/completions", { ...shared, ...rest, prompt: conversation.text() }];
}

function* pieces(chunk) {
  for (const choice of chunk.choices ?? []) {
    const reasoning = choice.delta?.reasoning_content;
    const text = choice.delta?.content ?? choice.text;
    if (reasoning) yield { reasoning };
    if (text) yield { text };
    if (choice.finish_reason) yield { finish: choice.finish_reason };
  }
  if (chunk.usage) yield { usage: chunk.usage };
  if (chunk.foreknown) yield { foreknown: chunk.foreknown };
}
