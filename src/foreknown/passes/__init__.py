"""Passes: graph to graph, one file, one idea each; `pipeline.optimise` runs them in order.

Dead code and common subexpressions need no pass: a graph *is* what its outputs reach, and nodes
built alike are one object. What interning cannot see, operands in another order, `order_operands`
settles.
"""
