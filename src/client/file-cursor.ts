// A cursor in a file, for Node alone. docs/following.md#cursors

import { mkdir, open, readFile, rename } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { CursorStore } from './cursor.ts'

/** A cursor in a file of one follower's own, which is made with the first write, durable before it counts, and whole at every moment. */
export function fileCursor(path: string): CursorStore {
  return {
    async read() {
      try {
        return (await readFile(path, 'utf8')).trimEnd()
      } catch (error) {
        if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null
        throw error
      }
    },
    async write(cursor) {
      await mkdir(dirname(path), { recursive: true })
      const draft = `${path}.new`
      const handle = await open(draft, 'w', 0o600)
      try {
        await handle.writeFile(`${cursor}\n`)
        await handle.sync()
      } finally {
        await handle.close()
      }
      await rename(draft, path)
    },
  }
}
