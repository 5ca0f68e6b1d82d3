import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { makeIdentity, testKey } from '../support/identities.ts'
import { openOwnerScene, type OwnerScene } from '../support/owner.ts'

const [A = '', B = '', C = '', D = ''] = [0, 1, 2, 3].map((n) => testKey(n).did)

describe('the keys of an identity', () => {
  let scene: OwnerScene
  const { did, genesis } = makeIdentity([0, 1], 0, 'alice.test')

  beforeAll(async () => {
    scene = await openOwnerScene()
    await scene.submit(did, genesis)
  })

  afterAll(() => scene[Symbol.dispose]())

  const rotationKeys = async (): Promise<unknown> => (JSON.parse(await scene.directory.data(did)) as { rotationKeys: unknown }).rotationKeys

  it('are added, moved and removed, and shown before and after', async () => {
    const added = await scene.stele('did', 'rotate', did, '--key', '0.key', '--add', '2.key', '--at', '1', '--remove', B)
    expect(added.code, added.stderr).toBe(0)
    expect(added.stdout).toMatch(/^bafyrei\w+\n$/)
    expect(added.stderr).toBe(
      `rotation keys of ${did} now, strongest first:\n  1  ${A}  (signs this)\n  2  ${B}  (goes)\n` +
        `and then:\n  1  ${C}  (new)\n  2  ${A}  (signs this)\nsigned by rotation key 1 of 2, the strongest: nothing can undo it\n`,
    )
    expect(await rotationKeys()).toEqual([C, A])
    const listed = await scene.stele('did', 'rotate', did, '--key', '0.key', '--rotation-key', '0.key', '--rotation-key', D, '--rotation-key', C)
    expect(listed.code, listed.stderr).toBe(0)
    expect(listed.stderr).toMatch(new RegExp(`signed by rotation key 2 of 2: until .* a stronger one can undo it.*\\n {2}1 {2}${C}\\n$`))
    expect(await rotationKeys()).toEqual([A, D, C])
  })

  it('are not changed so that their owner is locked out, unless that is forced', async () => {
    for (const [args, code, words] of [
      [['--remove', A], 1, 'you may be locked out'],
      [['--remove', A, '--remove', C, '--remove', D], 1, 'nobody could ever change'],
      [['--rotation-key', A, '--rotation-key', '0.key'], 1, 'would stand twice'],
      [Array.from({ length: 11 }, () => ['--rotation-key', A]).flat().concat('--force'), 1, 'these are 11 rotation keys'],
      [['--add', A], 2, 'already'],
    ] as const) {
      const { code: ended, stdout, stderr } = await scene.stele('did', 'rotate', did, '--key', '0.key', ...args)
      expect([ended, stdout], stderr).toEqual([code, ''])
      expect(stderr).toContain(words)
    }
    expect(await rotationKeys()).toEqual([A, D, C])
    const forced = await scene.stele('did', 'rotate', did, '--key', '0.key', '--remove', A, '--force')
    expect(forced).toMatchObject({ code: 0, stderr: expect.stringContaining('warning: you may be locked out') as string })
    expect(await rotationKeys()).toEqual([D, C])
  })

  it('and all else that it says are given when it is made, and changed later', async () => {
    const made = await scene.stele(
      'did', 'create', '--handle', 'bob.test', '--rotation-key', '1.key', '--rotation-key', A, '--signing-key', D, '--curve', 'p256',
      '--also-known-as', 'https://bob.test', '--service', 'notes=NoteService,https://notes.test', '--verification-method', `label=${C}`,
    )
    expect(made.code, made.stderr).toBe(0)
    const bob = made.stdout.trim()
    expect(JSON.parse(await scene.directory.data(bob))).toEqual({
      did: bob,
      verificationMethods: { label: C, atproto: D },
      rotationKeys: [B, A],
      alsoKnownAs: ['at://bob.test', 'https://bob.test'],
      services: { notes: { type: 'NoteService', endpoint: 'https://notes.test' } },
    })
    const updated = await scene.stele(
      'did', 'update', bob, '--key', '1.key', '--remove-also-known-as', 'https://bob.test', '--remove-service', 'notes', '--service', 'box=BoxService,https://box.test', '--remove-verification-method', 'label',
    )
    expect(updated.code, updated.stderr).toBe(0)
    expect(JSON.parse(await scene.directory.data(bob))).toMatchObject({ verificationMethods: { atproto: D }, alsoKnownAs: ['at://bob.test'], services: { box: { type: 'BoxService' } } })
  })
})
