// Files that are chosen, or dropped with their folders.

const PICTURE = /\.(png|jpe?g|webp|gif|bmp|tiff?|avif|jp2|jfif|pp?m|pgm|pbm|tga|ico|heic|heif|psd)$/i;

export const isPicture = (file) => file.type?.startsWith("image/") || PICTURE.test(file.name);

// All files of what was dropped, folders too.
export async function droppedFiles(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.some((entry) => entry.isDirectory)) return [...transfer.files];
  const files = [];
  const walk = async (entry) => {
    if (entry.isFile) {
      const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
      if (PICTURE.test(file.name)) files.push([entry.fullPath, file]);
      return;
    }
    const reader = entry.createReader();
    for (;;) {
      const more = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
      if (!more.length) return;
      for (const one of more) await walk(one);
    }
  };
  for (const entry of entries) await walk(entry);
  files.sort(([a], [b]) => a.localeCompare(b, undefined, { numeric: true }));
  return files.map(([, file]) => file);
}
