import { ServerError } from "./server.js";

/**
 * The data of a response's server-sent events, one string an event.
 *
 * Lines may end in \n or \r\n and be cut anywhere between two chunks; comments and other fields are
 * passed over. Leaving the loop early closes the stream. Throws ServerError if the connection is
 * lost.
 */
export async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  let lines = [];
  try {
    for (;;) {
      const { value, done } = await reader.read().catch(lost);
      if (done) return;
      const found = (rest + value).split("\n");
      rest = found.pop();
      for (const each of found) {
        const line = each.endsWith("\r") ? each.slice(0, -1) : each;
        if (line.startsWith("data:")) {
          lines.push(line.slice(line[5] === " " ? 6 : 5));
        } else if (line === "" && lines.length > 0) {
          yield lines.join("\n");
          lines = [];
        }
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

function lost(error) {
  if (error.name === "AbortError") throw error;
  throw new ServerError("the answer broke off: the connection was lost");
}
