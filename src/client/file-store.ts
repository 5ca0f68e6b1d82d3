// A client's memory in a folder, for Node alone. docs/client.md#stores

import { createHash } from 'node:crypto'
import { mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { CheckpointStore } from './checkpoint-store.ts'

/**
 * A store in a folder, which is made with the first write. Every checkpoint is a file of its own, durable before it counts, and the largest
 * counts: processes that share the folder do not go back.
 */
export function fileCheckpoints(folder: string): CheckpointStore {
  const checkpointFile = (log: string, size: number): string => `${nameOf(log)}.${size}.checkpoint`

  async function sizesOf(log: string): Promise<number[]> {
    const start = `${nameOf(log)}.`
    const files = await orNull(readdir(folder))
    const sizes = (files ?? []).filter((file) => file.startsWith(start) && file.endsWith('.checkpoint')).map((file) => Number(file.split('.')[1]))
    return sizes.sort((a, b) => b - a)
  }

  async function write(file: string, text: string): Promise<void> {
    await mkdir(folder, { recursive: true, mode: 0o700 })
    const draft = join(folder, `${file}.${process.pid}.${draftNumber++}.new`)
    const handle = await open(draft, 'w', 0o600)
    try {
      await handle.writeFile(text)
      await handle.sync()
    } finally {
      await handle.close()
    }
    await rename(draft, join(folder, file))
    await syncFolder(folder)
  }

  async function read(file: string): Promise<string | null> {
    return await orNull(readFile(join(folder, file), 'utf8'))
  }

  return {
    async newest(log) {
      for (;;) {
        const [largest] = await sizesOf(log)
        if (largest === undefined) return null
        const note = await read(checkpointFile(log, largest))
        if (note !== null) return note // else another process has put a larger one in its place
      }
    },
    async keep(log, size, note) {
      await write(checkpointFile(log, size), note)
      for (const smaller of (await sizesOf(log)).slice(1)) await rm(join(folder, checkpointFile(log, smaller)), { force: true })
    },
    evidence: (log) => read(evidenceName(log)),
    convict: (log, evidence) => write(evidenceName(log), evidence),
  }
}

/** Where such a store keeps evidence against a log. */
export function evidenceFile(folder: string, log: string): string {
  return join(folder, evidenceName(log))
}

let draftNumber = 0

// The name of a new file is durable once its folder is; not every system can do that.
async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r').catch(() => null)
  await handle?.sync().catch(() => undefined)
  await handle?.close()
}

function evidenceName(log: string): string {
  return `${nameOf(log)}.evidence`
}

function nameOf(log: string): string {
  return createHash('sha256').update(log).digest('hex')
}

async function orNull<T>(work: Promise<T>): Promise<T | null> {
  try {
    return await work
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null
    throw error
  }
}
