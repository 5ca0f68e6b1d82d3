import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { makeIdentity, testKey } from '../support/identities.ts'
import { openOwnerScene, type OwnerScene } from '../support/owner.ts'

describe('an identity that its owner ends', () => {
  let scene: OwnerScene

  beforeAll(async () => {
    scene = await openOwnerScene()
  })

  afterAll(() => scene[Symbol.dispose]())

  it('is gone, and comes back by the recovery that was shown', async () => {
    const { did, genesis } = makeIdentity([0, 1], 0, 'alice.test')
    await scene.submit(did, genesis)
    const tried = await scene.stele('did', 'deactivate', did, '--key', '1.key')
    expect(tried).toMatchObject({ code: 2, stdout: '', stderr: expect.stringContaining('--yes') as string })
    expect(await scene.count(did)).toBe(1)

    const ended = await scene.stele('did', 'deactivate', did, '--key', '1.key', '--yes')
    expect(ended.code, ended.stderr).toBe(0)
    expect(ended.stderr).toContain(`this ends ${did}, known as alice.test: `)
    expect(ended.stderr).toMatch(/signed by rotation key 2 of 2: until \S+ \(72 h\) a stronger one can undo it/)
    expect(ended.stderr).toContain(`  1  ${testKey(0).did}`)
    await expect(scene.directory.document(did)).rejects.toMatchObject({ status: 404 })
    const after = await scene.stele('did', 'update', did, '--key', '1.key', '--handle', 'x.test')
    expect(after).toMatchObject({ code: 2, stderr: expect.stringContaining('only a recovery') as string })

    const command = /to undo it: stele (did recover .*)$/m.exec(ended.stderr)?.[1] ?? ''
    const recovered = await scene.stele(...command.replace('FILE', '0.key').split(' '), '--yes')
    expect(recovered.code, recovered.stderr).toBe(0)
    expect(recovered.stderr).toContain('it ended the identity with a tombstone')
    expect(recovered.stderr).toContain('the recovery brings the identity back')
    expect(JSON.parse(await scene.directory.document(did))).toMatchObject({ alsoKnownAs: ['at://alice.test'] })
  })

  it('is told that nothing can undo what the strongest key signs', async () => {
    const { did, genesis } = makeIdentity([0, 1], 0, 'bob.test')
    await scene.submit(did, genesis)
    const tried = await scene.stele('did', 'deactivate', did, '--key', '0.key', '--dry-run')
    expect(tried).toMatchObject({ code: 0, stdout: '', stderr: expect.stringContaining('the strongest: nothing can undo it') as string })
    expect(await scene.count(did)).toBe(1)
  })
})
