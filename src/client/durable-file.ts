// Files that are whole at every moment and durable before they count, for Node alone.

import { open, readFile, rename } from 'node:fs/promises'
import { dirname } from 'node:path'

/** Writes a file with mode 0600 by way of `draft`, a path in the same folder that nobody else uses meanwhile; what was at `path` is replaced at once. */
export async function writeDurably(path: string, draft: string, text: string): Promise<void> {
  const handle = await open(draft, 'w', 0o600)
  try {
    await handle.writeFile(text)
    await handle.sync()
  } finally {
    await handle.close()
  }
  await rename(draft, path)
  await syncFolder(dirname(path))
}

/** The text of a file; null where there is none. */
export function readText(path: string): Promise<string | null> {
  return orNull(readFile(path, 'utf8'))
}

/** What a read of the file system gives; null where the file or folder is not there. */
export async function orNull<T>(work: Promise<T>): Promise<T | null> {
  try {
    return await work
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null
    throw error
  }
}

// The name of a new file is durable once its folder is; not every system can do that.
async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r').catch(() => null)
  await handle?.sync().catch(() => undefined)
  await handle?.close()
}
