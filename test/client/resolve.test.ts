import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { memoryCheckpoints } from '../../src/client/checkpoint-store.ts'
import { createResolver } from '../../src/client/resolve.ts'
import { parseVerifierKey } from '../../src/core/tlog/note.ts'
import { LOG_KEY } from '../support/stored-log.ts'
import { byMap, isRight, optionsOf, outcomeOf, outcomeOfAltered, recordAnswers, urlOf, VERIFIED_CASES, wrongAnswers } from '../support/verified-cases.ts'
import { openScene, type SceneServers } from '../support/verified-scene.ts'

describe('a verifying resolver', () => {
  let opened: SceneServers

  beforeAll(async () => {
    opened = await openScene()
  })

  afterAll(() => opened[Symbol.asyncDispose]())

  it.each(VERIFIED_CASES)('$name', async ({ run, expected }) => {
    expect(await run(opened.scene)).toEqual(expected(opened.scene))
  })

  it.each([
    ['witnessed', ['honest']],
    ['latest', ['honest', 'mirror']],
    ['latest', ['honest']],
  ] as const)('gives the right document or an error for %s by %j where any byte of any answer is altered', async (require, names) => {
    const { scene } = opened
    const more = require === 'latest' && names.length === 1 ? byMap(scene) : {}
    const recorded = await recordAnswers(scene, names, require, more)
    const errors = new Set<string>()
    await fc.assert(
      fc.asyncProperty(fc.record({ answer: fc.nat(99), byte: fc.nat(99_999), by: fc.integer({ min: 1, max: 255 }) }), async (alteration) => {
        const outcome = await outcomeOfAltered(scene, names, require, recorded, alteration, more)
        if (outcome.code !== undefined) errors.add(outcome.code)
        return isRight(scene, outcome)
      }),
      { numRuns: 150 },
    )
    expect(errors).toContain(require === 'latest' ? 'NOT_LATEST' : 'NOT_INCLUDED')
    expect(await wrongAnswers(scene, 20)).toEqual([])
  })

  it('counts no cosignature from the future, nor one that is too old', async () => {
    const { scene } = opened
    const at = async (nowMs: number): Promise<unknown> => (await outcomeOf(scene, ['honest'], 'witnessed', { clock: { now: () => nowMs, elapsed: () => performance.now() } })).code
    expect(await Promise.all([-400_000, -200_000, 200_000, 400_000].map((ms) => at(scene.nowMs + ms)))).toEqual(['NOT_RECENT', undefined, undefined, 'NOT_RECENT'])
  })

  it('looks again where the receipts are under a newer checkpoint than the one that it saw', async () => {
    const { scene } = opened
    let checkpoints = 0
    const late: typeof fetch = (input, init) => {
      const isFirst = urlOf(input) === `${scene.servers.honest}/checkpoint` && checkpoints++ === 0
      return fetch(isFirst ? `${scene.servers.stale}/checkpoint` : input, init)
    }
    expect(await outcomeOf(scene, ['honest'], 'included', { request: { fetch: late } })).toMatchObject({ document: scene.documents.newest })
    expect(checkpoints).toBe(2)
  })

  it('does not keep a tile that was wrong', async () => {
    const { scene } = opened
    const spoil = { now: true }
    const spoiling: typeof fetch = async (input, init) => {
      const response = await fetch(input, init)
      if (!spoil.now || !urlOf(input).startsWith(`${scene.servers.honest}/tile/`)) return response
      return new Response((await response.bytes()).fill(7), { status: response.status })
    }
    const store = memoryCheckpoints()
    await outcomeOf(scene, ['stale'], 'included', { store })
    const resolver = createResolver(optionsOf(scene, ['honest'], { store, request: { fetch: spoiling } }))
    await expect(resolver.resolve(scene.alice, { require: 'included' })).rejects.toMatchObject({ code: 'INCONSISTENT' })
    spoil.now = false
    expect(await resolver.resolve(scene.alice, { require: 'included' })).toMatchObject({ document: scene.documents.newest })
  })

  it('asks a server that failed after all others', async () => {
    const { scene } = opened
    const asked: string[] = []
    const counting: typeof fetch = (input, init) => {
      asked.push(new URL(urlOf(input)).origin)
      return fetch(input, init)
    }
    const resolver = createResolver(optionsOf(scene, ['forging', 'honest'], { request: { fetch: counting, attempts: 1 } }))
    await resolver.resolve(scene.alice, { require: 'included' })
    expect(asked).toContain(scene.servers.forging)
    asked.splice(0)
    await resolver.resolve(scene.alice, { require: 'included' })
    expect(new Set(asked)).toEqual(new Set([scene.servers.honest]))
  })

  it('ends with the reason of its signal', async () => {
    const stopped = new Error('enough')
    const resolver = createResolver(optionsOf(opened.scene, ['silent']))
    const controller = new AbortController()
    const resolving = resolver.resolve(opened.scene.alice, { require: 'signed', signal: controller.signal })
    setTimeout(() => controller.abort(stopped), 50)
    await expect(resolving).rejects.toBe(stopped)
  })

  it('refuses what is no DID, keys of two logs, and no server', async () => {
    await expect(outcomeOf(opened.scene, ['honest'], 'signed', {}, 'did:web:example.com')).rejects.toMatchObject({ code: 'MALFORMED_DID' })
    expect(await outcomeOf(opened.scene, [], 'signed')).toMatchObject({ code: 'UNPROVABLE' })
    expect(() => createResolver({ servers: [opened.scene.servers.honest], logKeys: [parseVerifierKey(opened.scene.vkey), LOG_KEY] })).toThrow(RangeError)
  })
})
