// A client's memory in a folder, for Node alone. docs/client.md#stores

import { createHash } from 'node:crypto'
import { mkdir, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { CheckpointStore } from './checkpoint-store.ts'
import { orNull, readText, writeDurably } from './durable-file.ts'

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
    await writeDurably(join(folder, file), draft, text)
  }

  const read = (file: string): Promise<string | null> => readText(join(folder, file))

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

function evidenceName(log: string): string {
  return `${nameOf(log)}.evidence`
}

function nameOf(log: string): string {
  return createHash('sha256').update(log).digest('hex')
}
