// Dropped and chosen files. A folder becomes one zip, because the service reads archives.
import { Zip, ZipPassThrough } from "fflate";
import { Problem } from "./api";

interface Placed {
  path: string;
  file: File;
}

const MAX_FILES = 16; // of one upload
const MAX_ZIP_BYTES = 4e9; // larger archives need another format

/** Return the files of a drop: as they are if they are few, otherwise and for folders one zip. */
export async function droppedFiles(transfer: DataTransfer): Promise<File[]> {
  // The browser empties the list as soon as this function waits.
  const plain = [...transfer.files];
  const entries = [...transfer.items].flatMap((item) => item.webkitGetAsEntry() ?? []);
  if (!entries.some((entry) => entry.isDirectory)) return plainFiles(plain);
  return [await pack((await Promise.all(entries.map(filesBelow))).flat())];
}

/** Return the files of a file chooser, which gives those of a folder with their paths. */
export async function chosenFiles(list: FileList): Promise<File[]> {
  const files = [...list];
  if (!files.some((file) => file.webkitRelativePath)) return plainFiles(files);
  return [await pack(files.map((file) => ({ path: file.webkitRelativePath, file })))];
}

const plainFiles = async (files: File[]) => (files.length <= MAX_FILES ? files : [await pack(files.map((file) => ({ path: file.name, file })))]);

async function filesBelow(entry: FileSystemEntry): Promise<Placed[]> {
  if (entry.isFile) {
    const file = await new Promise<File>((resolve, reject) => (entry as FileSystemFileEntry).file(resolve, reject));
    return [{ path: entry.fullPath.slice(1), file }];
  }
  const reader = (entry as FileSystemDirectoryEntry).createReader();
  const placed: Placed[] = [];
  for (;;) {
    const batch = await new Promise<FileSystemEntry[]>((resolve, reject) => reader.readEntries(resolve, reject));
    if (batch.length === 0) return placed; // a browser lists a large folder in several steps
    for (const child of batch) placed.push(...(await filesBelow(child)));
  }
}

async function pack(all: Placed[]): Promise<File> {
  const placed = all.filter(({ path }) => !path.split("/").some((part) => part.startsWith(".")));
  if (placed.length === 0) throw new Problem(0, "folder_empty", "The folder has no files", "Choose a folder with a folder of images for each label, for example.");
  if (placed.reduce((sum, { file }) => sum + file.size, 0) > MAX_ZIP_BYTES) {
    throw new Problem(0, "folder_large", "The folder is larger than 4 GB", "Pack it as a zip or tar file, then upload that file.");
  }
  const parts: Blob[] = [];
  const zip = new Zip((error, chunk) => {
    if (error) throw error;
    parts.push(new Blob([chunk as Uint8Array<ArrayBuffer>])); // the browser may keep it on disk
  });
  for (const { path, file } of placed) {
    const entry = new ZipPassThrough(path);
    zip.add(entry);
    entry.push(new Uint8Array(await file.arrayBuffer()), true);
  }
  zip.end();
  const top = placed[0]!.path.split("/");
  return new File(parts, `${top.length > 1 ? top[0] : "files"}.zip`);
}
