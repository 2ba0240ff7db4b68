// Many pictures: one after another, each with its mask, and all results in one ZIP.

// `queue`: the page's items and what a tab does with them. Returns how many became what.
export async function restoreAll(queue, signal) {
  const counts = { restored: 0, clean: 0, failed: 0 };
  const all = [...queue.items];
  let done = 0;
  queue.progress(done, all.length);
  for (const item of all) {
    if (signal.aborted) break;
    try {
      queue.doneOf(item).state = await restoreOne(queue, item, signal);
      item.failed = "";
    } catch (error) {
      if (signal.aborted) break;
      [queue.doneOf(item).state, item.failed] = ["failed", error.message];
    }
    counts[queue.doneOf(item).state] += 1;
    queue.progress(++done, all.length);
    queue.changed();
  }
  return counts;
}

async function restoreOne(queue, item, signal) {
  if (queue.doneOf(item).result) return "restored";
  await queue.bytesOf(item);
  item.told ??= await queue.engine.open(item, signal);
  await queue.search(item);
  const given = await queue.givenOf(item);
  if (!given) return "clean";
  const result = await queue.result(item, given);
  queue.doneOf(item).result = result;
  return "restored";
}

// A ZIP without compression: pictures are compressed already.
export async function zipResults(results) {
  const [parts, directory, names] = [[], [], new Map()];
  let offset = 0;
  for (const { blob, name } of results) {
    const bytes = new Uint8Array(await blob.arrayBuffer());
    const entry = new TextEncoder().encode(unique(name, names));
    const sum = crc32(bytes);
    // Version 2.0, UTF-8 name, stored; then CRC, sizes and the name's length.
    const common = [[20, 2], [0x800, 2], [0, 2], [0, 2], [0x21, 2], [sum, 4], [bytes.length, 4], [bytes.length, 4], [entry.length, 2], [0, 2]];
    const local = record(0x04034b50, common, entry);
    directory.push(record(0x02014b50, [[20, 2], ...common, [0, 2], [0, 2], [0, 2], [0, 4], [offset, 4]], entry));
    parts.push(local, bytes);
    offset += local.length + bytes.length;
  }
  const size = directory.reduce((sum, part) => sum + part.length, 0);
  const n = directory.length;
  const end = record(0x06054b50, [[0, 2], [0, 2], [n, 2], [n, 2], [size, 4], [offset, 4], [0, 2]], new Uint8Array());
  return new Blob([...parts, ...directory, end], { type: "application/zip" });
}

// Pictures of several folders may share a name.
function unique(name, names) {
  const n = (names.get(name) ?? 0) + 1;
  names.set(name, n);
  return n === 1 ? name : name.replace(/(\.[^.]*)?$/, `_${n}$1`);
}

// A signature, little-endian numbers of some bytes each, and a name.
function record(signature, numbers, name) {
  const bytes = [];
  for (const [value, count] of [[signature, 4], ...numbers]) {
    for (let i = 0; i < count; i++) bytes.push((value >>> (8 * i)) & 255);
  }
  return new Uint8Array([...bytes, ...name]);
}

const TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let k = 0; k < 8; k++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
  return n;
});

function crc32(bytes) {
  let sum = 0xffffffff;
  for (const byte of bytes) sum = TABLE[(sum ^ byte) & 255] ^ (sum >>> 8);
  return (sum ^ 0xffffffff) >>> 0;
}
