import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { resolveCommand } from '../../src/cli/resolve.ts'
import type { HandleLookup } from '../../src/client/handle.ts'
import { openCounter, type TestCounter } from '../support/counter.ts'
import { makeIdentity } from '../support/identities.ts'

const ALICE = makeIdentity([0, 1], 0, 'Alice.test')

describe('resolving by a handle', () => {
  let counter: TestCounter

  beforeAll(async () => {
    counter = await openCounter()
    await counter.submit(ALICE.did, ALICE.genesis)
  })

  afterAll(() => counter[Symbol.asyncDispose]())
  afterEach(() => {
    process.exitCode = undefined
  })

  it('prints the document, and says that both directions agree', async () => {
    const { stdout, stderr, exitCode } = await resolve('@alice.test', dns(ALICE.did))
    expect(JSON.parse(stdout)).toMatchObject({ id: ALICE.did })
    expect(stderr).toBe(`alice.test is ${ALICE.did} (by DNS), and the identity names this handle: both agree\n`)
    expect(exitCode).toBeUndefined()
    expect(JSON.parse((await resolve('alice.test', dns(ALICE.did), '--data')).stdout)).toMatchObject({ did: ALICE.did })
  })

  it('asks the web server where DNS says nothing', async () => {
    const lookup: HandleLookup = { txt: () => Promise.resolve([]), get: (url) => Promise.resolve(url === 'https://alice.test/.well-known/atproto-did' ? ALICE.did : null) }
    expect((await resolve('alice.test', lookup)).stderr).toContain('(by HTTPS)')
  })

  it('warns, with exit code 3, of a handle that the identity does not name', async () => {
    const { stdout, stderr, exitCode } = await resolve('mallory.test', dns(ALICE.did))
    expect(stderr).toMatch(/^warning: mallory\.test leads to did:plc:\w+ \(by DNS\), but the identity names the handle Alice\.test: do not/)
    expect(JSON.parse(stdout)).toMatchObject({ id: ALICE.did })
    expect(exitCode).toBe(3)
  })

  it('fails in words where the handle leads nowhere, and prints nothing', async () => {
    await expect(resolve('alice.test', dns('did:web:alice.test'))).rejects.toThrow('did:web')
    await expect(resolve('alice.test', dns(makeIdentity([3]).did))).rejects.toThrow('DID not registered')
    await expect(resolve('alice', dns(ALICE.did))).rejects.toThrow('neither a did:plc identifier nor a handle')
    await expect(resolve('did:web:alice.test', dns(ALICE.did))).rejects.toThrow('is a did:web')
  })

  function dns(did: string): HandleLookup {
    return { txt: (name) => Promise.resolve(name === '_atproto.alice.test' || name === '_atproto.mallory.test' ? [`did=${did}`] : []), get: () => Promise.resolve(null) }
  }

  async function resolve(handle: string, lookup: HandleLookup, ...args: readonly string[]): Promise<{ stdout: string; stderr: string; exitCode: unknown }> {
    const [out, err] = [process.stdout, process.stderr].map((stream) => vi.spyOn(stream, 'write').mockReturnValue(true))
    try {
      await resolveCommand(lookup).exitOverride().parseAsync([handle, '--url', counter.url, ...args], { from: 'user' })
      return { stdout: written(out), stderr: written(err), exitCode: process.exitCode }
    } finally {
      out?.mockRestore()
      err?.mockRestore()
    }
  }

  function written(spy: { mock: { calls: unknown[][] } } | undefined): string {
    return (spy?.mock.calls ?? []).map(([text]) => String(text)).join('')
  }
})
