/**
 * Calls of the server that sent this page, with the key it may ask for.
 *
 * Addresses are relative to the page, so it works behind a proxy that puts it into a folder.
 */

const KEPT = "foreknown-key";

/** An answer that is an error. `param` names the field at fault, "" if it is none. */
export class ServerError extends Error {
  constructor(message, { status = 0, param = "", code = "" } = {}) {
    super(message);
    this.status = status;
    this.param = param ?? "";
    this.code = code ?? "";
  }
}

/**
 * The response to a request that went well.
 *
 * A 401 asks the reader for a key, and the request is sent again with it; a request that is `quiet`
 * does not ask. Throws ServerError; an AbortError if `signal` was raised.
 */
export async function call(path, { body, signal, quiet = false } = {}) {
  for (;;) {
    const key = keptKey();
    const response = await reach(path, body, key, signal);
    if (response.ok) return response;
    const error = await readError(response);
    if (response.status !== 401 || quiet) throw error;
    // Another call may have asked meanwhile.
    if (keptKey() === key && !(await askKey(key ? error.message : ""))) throw error;
  }
}

/** The error in a body, or in an event of a stream, of the form {"error": {...}}. */
export function errorOf(body, status = 0) {
  const error = body?.error ?? {};
  const message = typeof error === "string" ? error : error.message;
  return new ServerError(message || `the server answered with status ${status}`, {
    status,
    param: error.param,
    code: error.code,
  });
}

async function reach(path, body, key, signal) {
  const headers = {};
  if (key) headers.Authorization = `Bearer ${key}`;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  try {
    return await fetch(path, {
      method: body === undefined ? "GET" : "POST",
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      signal,
      cache: "no-store",
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ServerError("the server does not answer");
  }
}

async function readError(response) {
  let body = null;
  try {
    body = await response.json();
  } catch {
    // Something before the server answered, and not in JSON: its status has to do.
  }
  return errorOf(body, response.status);
}

let asking = null;

function askKey(why) {
  // Calls that are refused at the same time share one dialog.
  asking ??= showDialog(why).finally(() => {
    asking = null;
  });
  return asking;
}

function showDialog(why) {
  const dialog = document.getElementById("key");
  const field = document.getElementById("key-value");
  if (why) document.getElementById("key-why").textContent = why;
  field.value = "";
  dialog.returnValue = "cancel";
  dialog.showModal();
  field.focus();
  return new Promise((resolve) => {
    dialog.addEventListener(
      "close",
      () => {
        const key = field.value.trim();
        field.value = "";
        const given = dialog.returnValue === "use" && key !== "";
        if (given) keepKey(key);
        resolve(given);
      },
      { once: true },
    );
  });
}

let key = "";

function keptKey() {
  try {
    key ||= sessionStorage.getItem(KEPT) ?? "";
  } catch {
    // A browser may forbid storage: then the key lives as long as the page.
  }
  return key;
}

function keepKey(given) {
  key = given;
  try {
    sessionStorage.setItem(KEPT, given);
  } catch {
    // see keptKey()
  }
}
