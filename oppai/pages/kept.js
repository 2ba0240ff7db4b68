// What the browser keeps: pictures and masks of each page, until they are removed.

const DATABASE = "oppai-restore";
const DAYS = 14; // after which what no page holds is forgotten

let database = null;
let session = "";
let full = null;

const done = (request) =>
  new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });

function objects(mode) {
  return database.transaction("items", mode).objectStore("items");
}

const range = (name) => IDBKeyRange.bound(`${name}/`, `${name}/\uffff`);

// Two pages share nothing: each holds the lock of its own session. A page that is
// opened when nobody holds the last one's goes on with that.
// whenFull(): the browser takes no more. Returns the items that are kept, and the picture
// of the style, if there is one.
export async function openKept(whenFull) {
  full = whenFull;
  try {
    const request = indexedDB.open(DATABASE, 1);
    request.onupgradeneeded = () => request.result.createObjectStore("items", { keyPath: "key" });
    database = await done(request);
  } catch {
    whenFull();
    return { items: [] };
  }
  const keys = await done(objects("readonly").getAllKeys());
  const sessions = [...new Set(keys.map((key) => key.split("/")[0]))].sort().reverse();
  const own = sessionStorage.getItem("oppai-session");
  // A page that is loaded anew may still hold its own lock for a moment.
  for (let i = 0; own && i < 10 && !session; i++) {
    if (await take(own)) session = own;
    else await new Promise((resolve) => setTimeout(resolve, 100));
  }
  for (const name of session ? [] : sessions) {
    if (await take(name)) {
      session = name;
      break;
    }
  }
  if (!session) {
    const random = crypto.getRandomValues(new Uint32Array(2));
    session = Date.now().toString(36).padStart(9, "0") + random[0].toString(36);
    await take(session);
  }
  sessionStorage.setItem("oppai-session", session);
  await forgetOld(sessions);
  const records = await done(objects("readonly").getAll(range(session)));
  const items = records.filter((record) => record.order > 0).sort((a, b) => a.order - b.order);
  return { items, style: records.find((record) => record.order === 0)?.style };
}

// Hold the lock of a session as long as the page lives; false if another page does.
function take(name) {
  if (!navigator.locks) return Promise.resolve(name === sessionStorage.getItem("oppai-session"));
  return new Promise((resolve) => {
    navigator.locks.request(`oppai-${name}`, { ifAvailable: true }, (lock) => {
      resolve(Boolean(lock));
      return lock ? new Promise(() => {}) : undefined;
    });
  });
}

async function forgetOld(sessions) {
  const { held = [] } = (await navigator.locks?.query()) ?? {};
  for (const name of sessions) {
    const age = Date.now() - parseInt(name.slice(0, 9), 36);
    const free = name !== session && !held.some((lock) => lock.name === `oppai-${name}`);
    if (free && !(age < DAYS * 86400e3)) await done(objects("readwrite").delete(range(name)));
  }
}

export const newKey = (order) => `${session}/${String(order).padStart(6, "0")}`;

export function keep(item) {
  const { key, order, name, blob, index, mask, hints, settings } = item;
  return write({ key, order, name, blob, index, mask, hints, settings });
}

// style: { name, blob }.
export const keepStyle = (style) => write({ key: newKey(0), order: 0, style });

async function write(record) {
  if (!database) return;
  try {
    await done(objects("readwrite").put(record));
  } catch {
    full();
  }
}

export async function forget(item) {
  if (database) await done(objects("readwrite").delete(item.key));
}
