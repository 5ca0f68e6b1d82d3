import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { memoryCheckpoints, webStorageCheckpoints, type CheckpointStore, type WebStorage } from '../../src/client/checkpoint-store.ts'
import { evidenceFile, fileCheckpoints } from '../../src/client/file-store.ts'

const LOG = 'log.example+1cc758f9+AYqI4910CfGV/VLbLTy6XXLKZwm/HZQSG/N0iAG0D29c'
const OTHER = 'log.example+00000000+AYqI4910CfGV/VLbLTy6XXLKZwm/HZQSG/N0iAG0D29c'

const folders: string[] = []
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true })
})

/** Stores that begin empty; `again` opens what the first one wrote, where it outlives it. */
const STORES: Record<string, () => { readonly open: () => CheckpointStore; readonly lasting: boolean; readonly entries: () => number }> = {
  memory: () => {
    const store = memoryCheckpoints()
    return { open: () => store, lasting: false, entries: () => 1 }
  },
  localStorage: () => {
    const storage = fakeStorage()
    return { open: () => webStorageCheckpoints(storage), lasting: true, entries: () => storage.length }
  },
  file: () => {
    const parent = mkdtempSync(join(tmpdir(), 'stele-checkpoints-'))
    folders.push(parent)
    const folder = join(parent, 'made', 'when-needed')
    return { open: () => fileCheckpoints(folder), lasting: true, entries: () => readdirSync(folder).length }
  },
}

describe.each(Object.entries(STORES))('a store of checkpoints: %s', (_name, make) => {
  it('gives the largest that was kept, of each log its own, and nothing before', async () => {
    const { open } = make()
    const store = open()
    expect([await store.newest(LOG), await store.evidence(LOG)]).toEqual([null, null])
    for (const size of [9, 10, 100]) await store.keep(LOG, size, `note ${size}`)
    await store.keep(OTHER, 7, 'other')
    expect([await store.newest(LOG), await store.newest(OTHER)]).toEqual(['note 100', 'other'])
    await store.convict(OTHER, 'evidence')
    expect([await store.evidence(LOG), await store.evidence(OTHER)]).toEqual([null, 'evidence'])
  })

  it('never goes back, whoever writes last', async () => {
    const { open } = make()
    const [one, other] = [open(), open()]
    await one.keep(LOG, 12, 'note 12')
    await Promise.all([one.keep(LOG, 20, 'note 20'), other.keep(LOG, 15, 'note 15'), other.keep(LOG, 9, 'note 9')])
    await other.keep(LOG, 13, 'note 13')
    expect([await one.newest(LOG), await other.newest(LOG)]).toEqual(['note 20', 'note 20'])
  })

  it('outlives who wrote it, and keeps no more than it needs', async () => {
    const { open, lasting, entries } = make()
    for (let size = 1; size <= 30; size++) await open().keep(LOG, size, `note ${size}`)
    if (lasting) expect(await open().newest(LOG)).toBe('note 30')
    expect(entries()).toBe(1)
  })
})

it('evidence in files stands where it is said to', () => {
  expect(evidenceFile('/folder', LOG)).toMatch(/^\/folder\/[0-9a-f]{64}\.evidence$/)
})

function fakeStorage(): WebStorage {
  const values = new Map<string, string>()
  return {
    get length() {
      return values.size
    },
    key: (index) => [...values.keys()][index] ?? null,
    getItem: (key) => values.get(key) ?? null,
    setItem: (key, value) => void values.set(key, value),
    removeItem: (key) => void values.delete(key),
  }
}
