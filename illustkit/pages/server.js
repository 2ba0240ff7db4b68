// Talking to the server of the page: every request but the page itself.

let token = document.querySelector('meta[name="token"]').content;

// `fetch` says "Failed to fetch" where nobody answers: such an error is `lost`.
async function ask(address, options = {}) {
  try {
    return await fetch(address, options);
  } catch (error) {
    throw Object.assign(error, { lost: error instanceof TypeError });
  }
}

export async function get(name, numbers = {}) {
  const query = new URLSearchParams(numbers).toString();
  return answer(await ask(`/api/${name}${query ? "?" + query : ""}`));
}

// keepalive: the last write goes out even when the page is being closed.
export async function post(name, body) {
  const data = JSON.stringify(body);
  return answer(
    await ask(`/api/${name}`, {
      method: "POST",
      headers: { "Content-Type": "application/json", "X-Token": token },
      body: data,
      keepalive: data.length < 50000,
    }),
  );
}

// Send bytes, with texts beside them; the answer is the response itself.
export async function upload(name, bytes, texts = {}, signal = undefined) {
  const query = new URLSearchParams(texts).toString();
  const response = await ask(`/upload/${name}?${query}`, {
    method: "POST",
    headers: { "X-Token": token },
    body: bytes,
    signal,
  });
  return response.ok ? response : answer(response);
}

// Bytes of the server, by a hexadecimal key.
export async function file(name, key) {
  const response = await ask(`/file/${name}/${key}`);
  return response.ok ? response.blob() : answer(response);
}

export async function answer(response) {
  const value = await response.json().catch(() => ({ error: response.statusText }));
  if (response.ok) return value;
  throw Object.assign(new Error(value.error || response.statusText), { status: response.status });
}

// A server that was started again has another token. Where the browser has opened its
// address, the page itself holds it. Returns whether there is a new one.
export async function renewToken() {
  const response = await fetch("/").catch(() => null);
  if (!response?.ok) return false;
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  const newer = page.querySelector('meta[name="token"]')?.content;
  const changed = Boolean(newer) && newer !== token;
  if (changed) token = newer;
  return changed;
}

export function reasonOf(error) {
  const lost = error instanceof TypeError;
  return lost ? "The server does not answer: start the command again." : error.message;
}
