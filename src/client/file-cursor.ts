// A cursor in a file, for Node alone. docs/following.md#cursors

import { mkdir } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { CursorStore } from './cursor.ts'
import { readText, writeDurably } from './durable-file.ts'

/** A cursor in a file of one follower's own, which is made with the first write, durable before it counts, and whole at every moment. */
export function fileCursor(path: string): CursorStore {
  return {
    read: async () => (await readText(path))?.trimEnd() ?? null,
    async write(cursor) {
      await mkdir(dirname(path), { recursive: true })
      await writeDurably(path, `${path}.new`, `${cursor}\n`)
    },
  }
}
