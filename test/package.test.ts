// What npm would publish, unpacked beside the dependencies of this tree: it runs, types and bundles.

import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { rolldown } from 'rolldown'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import packageJson from '../package.json' with { type: 'json' }
import { node, packBoth, unpack, type Packed } from './support/packed.ts'

const ROOT = join(import.meta.dirname, '..')
const EXACT = { strict: true, noEmit: true, target: 'es2024', lib: ['es2024', 'dom'], types: [], exactOptionalPropertyTypes: true, noUncheckedIndexedAccess: true }

interface Manifest {
  readonly exports: Record<string, string | { readonly types: string; readonly default: string }>
  readonly dependencies: Record<string, string>
  readonly optionalDependencies?: Record<string, string>
}

describe('the packages', () => {
  let packed: Packed
  let modules: string

  beforeAll(async () => {
    packed = await packBoth()
    modules = join(packed.folder, 'node_modules')
    for (const [name, archive] of [['stele', packed.server], ['stele-client', packed.client]] as const) {
      mkdirSync(join(modules, name), { recursive: true })
      await unpack(archive, join(modules, name))
      for (const dependency of Object.keys({ ...manifest(name).dependencies, ...manifest(name).optionalDependencies })) link(dependency)
    }
  })

  afterAll(() => packed[Symbol.dispose]())

  function link(name: string): void {
    const [from, to] = [join(ROOT, 'node_modules', name), join(modules, name)]
    if (existsSync(to) || !existsSync(from)) return
    mkdirSync(dirname(to), { recursive: true })
    symlinkSync(from, to)
  }

  function manifest(name: string): Manifest {
    return JSON.parse(readFileSync(join(modules, name, 'package.json'), 'utf8')) as Manifest
  }

  it('hold what is theirs alone, and every file that their exports name', () => {
    expect(readdirSync(join(modules, 'stele')).sort()).toEqual(
      ['CHANGELOG.md', 'LICENSE', 'README.md', 'SECURITY.md', 'bin', 'dist', 'docs', 'migrations', 'package.json', 'spec'],
    )
    for (const name of ['stele', 'stele-client']) {
      for (const target of Object.values(manifest(name).exports)) {
        for (const file of typeof target === 'string' ? [target] : Object.values(target)) expect(existsSync(join(modules, name, file)), file).toBe(true)
      }
    }
  })

  it('name as dependencies of the client what it imports, and nothing that is a server', () => {
    const files = readdirSync(join(modules, 'stele-client'), { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.js'))
    const imports = files.flatMap((file) => [...readFileSync(join(modules, 'stele-client', file), 'utf8').matchAll(/^(?:import|export|\}) .*?from '([^.][^']*)'/gm)].map(([, name = '']) => name))
    const packages = new Set(imports.filter((name) => !name.startsWith('node:')).map((name) => name.split('/').slice(0, name.startsWith('@') ? 2 : 1).join('/')))
    const { dependencies, optionalDependencies } = manifest('stele-client')
    expect(Object.keys(dependencies).sort()).toEqual([...packages].sort())
    expect(optionalDependencies).toBeUndefined()
    for (const [name, range] of Object.entries(dependencies)) expect(range).toBe((packageJson.dependencies as Record<string, string>)[name])
  })

  it('run: the program says what it can do, and its workers answer questions', async () => {
    const stele = join(modules, 'stele', 'bin', 'stele.js')
    expect((await node(packed.folder, stele, '--help')).stdout).toContain('stele serve')
    expect((await node(packed.folder, stele, '--version')).stdout).toBe(`${packageJson.version}\n`)
    writeFileSync(join(packed.folder, 'verify.mjs'), VERIFY)
    const { stdout } = await node(packed.folder, 'verify.mjs')
    expect(JSON.parse(stdout)).toEqual({
      answers: Array.from({ length: 60 }, (_, i) => (i % 3 === 0 ? null : 1)),
      same: true,
      name: expect.stringContaining(', 2 workers') as string,
      died: [],
    })
  })

  it.each([
    ['nodenext', { module: 'nodenext', moduleResolution: 'nodenext' }],
    ['bundler', { module: 'esnext', moduleResolution: 'bundler' }],
  ])('have types for TypeScript with the module resolution "%s"', async (name, options) => {
    const folder = join(packed.folder, name)
    mkdirSync(folder)
    writeFileSync(join(folder, 'package.json'), '{ "type": "module" }')
    writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions: { ...EXACT, ...options }, files: ['use.ts'] }))
    writeFileSync(join(folder, 'use.ts'), USE)
    const compile = (): Promise<unknown> => node(folder, join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc'), '-p', '.')
    await compile()
    writeFileSync(join(folder, 'use.ts'), USE.replace('const number: number', 'const number: string'))
    await expect(compile()).rejects.toThrow("Type 'number' is not assignable to type 'string'")
  })

  it.each(['stele', 'stele/client', 'stele-client', 'stele-client/core'])('bundle for a browser: %s', async (name) => {
    const input = join(packed.folder, `${name.replace('/', '-')}.mjs`)
    writeFileSync(input, `export * from '${name}'\n`)
    await using bundle = await rolldown({ input, platform: 'browser', onLog: (_, log) => { throw new Error(log.message) } })
    const { output } = await bundle.generate({ format: 'esm', minify: true })
    const [chunk] = output
    expect({ files: output.length, imports: chunk.imports, dynamicImports: chunk.dynamicImports }).toEqual({ files: 1, imports: [], dynamicImports: [] })
    expect(chunk.code).not.toMatch(/["']node:|\brequire\(|\bprocess\.env\b/)
    const [, limit] = /at most (\d+) kB gzipped/.exec(readFileSync(join(ROOT, 'README.md'), 'utf8')) ?? []
    expect(gzipSync(chunk.code).length / 1000).toBeLessThan(Number(limit))
    const built = join(packed.folder, 'built.mjs')
    writeFileSync(built, `${chunk.code}\n`)
    const names = `import * as all from ${JSON.stringify(built)}; console.log(Object.keys(all).length)`
    expect(Number((await node(packed.folder, '--input-type=module', '-e', names)).stdout)).toBeGreaterThan(20)
  })

  it('leave out of a bundle what is not imported: who verifies gets what docs/client.md promises', async () => {
    const input = join(packed.folder, 'verifying.mjs')
    writeFileSync(input, "export { createResolver, stateProof } from 'stele-client'\n")
    await using bundle = await rolldown({ input, platform: 'browser' })
    const { output } = await bundle.generate({ format: 'esm', minify: true })
    const [, limit] = /are less than (\d+) kB/.exec(readFileSync(join(ROOT, 'docs', 'client.md'), 'utf8')) ?? []
    expect(gzipSync(output[0].code).length / 1000).toBeLessThan(Number(limit))
  })

  it('keep memories in files in Node', async () => {
    const script = "import { fileCheckpoints } from 'stele-client/node'; const store = fileCheckpoints('kept'); await store.keep('log', 3, 'note'); console.log(await store.newest('log'))"
    expect((await node(packed.folder, '--input-type=module', '-e', script)).stdout).toBe('note\n')
  })

  it("leave the signatures of notes to the machine's own library in Node", async () => {
    // Node's own is asked through its prototype, where this counts.
    const script = `
      import crypto, { KeyObject } from 'node:crypto'
      import { syncBuiltinESMExports } from 'node:module'
      const { verify } = crypto
      let asked = 0
      crypto.verify = (...question) => (asked++, verify(...question))
      syncBuiltinESMExports()
      const { KEY_TYPES, makeSigningKey, openCheckpoint, parseVerifierKey, formatVerifierKey, signCheckpoint } = await import('stele-client/core')
      const { useNative } = await import('stele-client/node')
      const key = makeSigningKey('log.test/x', KEY_TYPES.ed25519, new Uint8Array(32).fill(1))
      const note = signCheckpoint({ origin: key.name, size: 0, root: new Uint8Array(32) }, [key])
      const open = () => openCheckpoint(note, [parseVerifierKey(formatVerifierKey(key))])
      open()
      const before = asked
      useNative()
      asked = 0
      open()
      console.log(JSON.stringify([before, asked]))`
    expect((await node(packed.folder, '--input-type=module', '-e', script)).stdout).toBe('[0,1]\n')
  })
})

// Signatures of the second of two keys, every third of them spoilt, through the pool of the package.
const VERIFY = `
import { base64url, findSigner, signerFromSecret, utf8Encode } from 'stele'
import { createVerifier } from './node_modules/stele/dist/native/verifier.js'

const signers = ['k256', 'p256'].map((curve, i) => signerFromSecret(curve, new Uint8Array(32).fill(i + 1)))
const questions = Array.from({ length: 60 }, (_, i) => {
  const [other, signer] = i % 2 === 0 ? signers : signers.toReversed()
  const message = utf8Encode('message ' + i)
  return { message: i % 3 === 0 ? utf8Encode('spoilt') : message, sig: signer.sign(message), keys: [other.did, signer.did] }
})
const died = []
const verifier = await createVerifier({ workers: 2, onIncident: (error) => died.push(error.message) })
const answers = await verifier.answer(questions)
await verifier[Symbol.asyncDispose]()
console.log(JSON.stringify({ answers, same: answers.every((answer, i) => answer === findSigner(questions[i])), name: verifier.name, died }))
`

const USE = `
import { formatTimestamp, verdictOf, verifyReceipt, type ProvedEntry } from 'stele'
import { directoryClient, httpTileReader, type DirectoryClient } from 'stele/client'
import { parseOperation, type Operation } from 'stele-client/core'
import { fsck, type FsckReport } from 'stele-client'

const client: DirectoryClient = directoryClient('https://plc.example.com')
const reports: FsckReport[] = []
const keys: Parameters<typeof verifyReceipt>[2] = []
export function check(receipt: string, operation: Operation): ProvedEntry {
  const proved = verifyReceipt(receipt, operation, keys)
  const number: number = proved.index
  console.log(number, formatTimestamp(proved.entry.createdAt))
  return proved
}
export { client, fsck, httpTileReader, parseOperation, reports, verdictOf }
`
