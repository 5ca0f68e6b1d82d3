import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { RECOVERY_WINDOW_MS } from '../../src/core/plc/chain.ts'
import { makeIdentity, makeUpdate, testKey } from '../support/identities.ts'
import { openOwnerScene, testSecret, type OwnerScene } from '../support/owner.ts'

const HOUR_MS = 3_600_000
const NOW = Date.now()

/** An identity whose theft is too old to be undone. */
const LATE = makeIdentity([0, 1, 2], 0, 'late.test')
const LATE_THEFT = makeUpdate(LATE.genesis.cid, 2, [2], 'mallory.test')

describe('an identity that was stolen', () => {
  let scene: OwnerScene

  beforeAll(async () => {
    scene = await openOwnerScene([
      { did: LATE.did, operation: LATE.genesis, cid: LATE.genesis.cid, createdAt: NOW - 200 * HOUR_MS, nullified: false },
      { did: LATE.did, operation: LATE_THEFT, cid: LATE_THEFT.cid, createdAt: NOW - RECOVERY_WINDOW_MS - 5 * HOUR_MS, nullified: false },
    ])
  })

  afterAll(() => scene[Symbol.dispose]())

  it('is recovered by the command that is printed, and rid of the stolen key by the next one', async () => {
    const { did, genesis } = makeIdentity([0, 1, 2], 0, 'alice.test')
    const theft = makeUpdate(genesis.cid, 2, [0, 1, 2], 'mallory.test')
    const takeover = makeUpdate(theft.cid, 2, [2], 'mallory.test')
    await scene.submit(did, genesis, theft, takeover)

    // Two operations, and only the owner knows which of them was the thief's first.
    const asked = await scene.stele('did', 'recover', did, '--key', '0.key')
    expect([asked.code, asked.stdout]).toEqual([2, ''])
    expect(asked.stderr).toContain(`${takeover.cid}, accepted `)
    expect(asked.stderr).toContain(`signed by rotation key 3 of 3, ${testKey(2).did}`)
    expect(asked.stderr).toContain('it changed the handle to mallory.test from alice.test')
    expect(asked.stderr).toContain(`it removed the rotation key ${testKey(0).did}, which was 1 of 3`)
    const commands = [...asked.stderr.matchAll(/: stele (did recover .*)$/gm)].map(([, command = '']) => command.split(' '))
    expect(commands.map((words) => words.at(-1))).toEqual([theft.cid, genesis.cid])
    const command = commands.at(-1) ?? []

    const unasked = await scene.stele(...command)
    expect(unasked).toMatchObject({ code: 2, stdout: '', stderr: expect.stringContaining('--yes') as string })
    expect(await scene.count(did)).toBe(3)

    const recovered = await scene.stele(...command, '--yes')
    expect(recovered.code, recovered.stderr).toBe(0)
    expect(recovered.stderr).toMatch(/the 72 hours in which that can be done end \S+ \(71 h 5\d min left\)/)
    expect(recovered.stderr).toContain('changed the handle to alice.test from mallory.test')
    expect(JSON.parse(await scene.directory.data(did))).toMatchObject({ alsoKnownAs: ['at://alice.test'], rotationKeys: [0, 1, 2].map((n) => testKey(n).did) })
    expect((JSON.parse(await scene.directory.auditLog(did)) as { cid: string; nullified: boolean }[]).map(({ nullified }) => nullified)).toEqual([false, true, true, false])
    expect(JSON.parse(await scene.directory.auditLog(did))).toMatchObject([{}, {}, {}, { cid: recovered.stdout.trim() }])

    const next = /: stele (did rotate .*)$/m.exec(recovered.stderr)?.[1] ?? ''
    const rotated = await scene.stele(...next.split(' '))
    expect(rotated.code, rotated.stderr).toBe(0)
    expect(JSON.parse(await scene.directory.data(did))).toMatchObject({ rotationKeys: [testKey(0).did, testKey(1).did] })
    for (const { stdout, stderr } of [asked, unasked, recovered, rotated]) expect(stdout + stderr).not.toContain(testSecret(0))
  })

  it('is not recovered by a key that is too weak, and the rule is told', async () => {
    const { did, genesis } = makeIdentity([0, 1, 2], 0, 'bob.test')
    await scene.submit(did, genesis, makeUpdate(genesis.cid, 1, [0, 1, 2], 'mallory.test'))
    for (const args of [['--key', '2.key'], ['--key', '1.key', '--from', genesis.cid, '--yes']]) {
      const { code, stdout, stderr } = await scene.stele('did', 'recover', did, ...args)
      expect([code, stdout]).toEqual([1, ''])
      expect(stderr).toMatch(/too weak: it is rotation key [32] of 3 there\. Only a rotation key that stands before number 2, which signed/)
      expect(stderr).toContain('Nothing was submitted')
    }
    expect(await scene.count(did)).toBe(2)
    const tried = await scene.stele('did', 'recover', did, '--key', '0.key', '--dry-run', '--rotation-key', '0.key')
    expect([tried.code, tried.stdout], tried.stderr).toEqual([0, ''])
    expect(tried.stderr).toContain('--dry-run: nothing was submitted. Without it, this recovery would be accepted now')
    expect(await scene.count(did)).toBe(2)
  })

  it('is not recovered after 72 hours, and when they ended is told', async () => {
    const { code, stdout, stderr } = await scene.stele('did', 'recover', LATE.did, '--key', '0.key', '--yes')
    expect([code, stdout]).toEqual([1, ''])
    expect(stderr).toMatch(/the 72 hours in which that can be done ended \S+ \(5 h( \d min)? ago\)/)
    expect(stderr).toContain('A stronger key can undo an operation within 72 hours of its acceptance, and not afterwards')
    expect(await scene.count(LATE.did)).toBe(2)
  })

  it('is not recovered from a place that is none', async () => {
    const nowhere = await scene.stele('did', 'recover', LATE.did, '--key', '0.key', '--from', 'bafyreiaaaa')
    expect(nowhere).toMatchObject({ code: 2, stderr: expect.stringContaining('none of the operations') as string })
    const head = await scene.stele('did', 'recover', LATE.did, '--key', '0.key', '--from', LATE_THEFT.cid)
    expect(head).toMatchObject({ code: 1, stderr: expect.stringContaining('nothing follows it that could be undone') as string })
  })
})
