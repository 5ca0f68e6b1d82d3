import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { serveHome, type ServedHome } from '../support/served-home.ts'

describe('a directory and the commands of an owner', () => {
  let served: ServedHome
  beforeAll(async () => {
    served = await serveHome()
  })
  afterAll(() => served[Symbol.dispose]())

  it('make an identity with keys of its own, change it, and resolve it', async () => {
    const { home, stele, done } = served
    const { code, stdout, stderr } = await stele('did', 'create', '--handle', 'alice.example', '--pds', 'https://pds.example')
    expect(code, stderr).toBe(0)
    const did = stdout.trimEnd()
    expect(did).toMatch(/^did:plc:[a-z2-7]{24}$/)
    const keyFile = join(home.folder, 'state', 'stele', 'keys', `${did.slice(8)}.rotation.key`)
    expect(stderr).toContain(keyFile)
    expect(existsSync(keyFile)).toBe(true)
    expect(JSON.parse(await done('resolve', did))).toMatchObject({ id: did, alsoKnownAs: ['at://alice.example'], service: [{ serviceEndpoint: 'https://pds.example' }] })

    const cid = await done('did', 'update', did, '--handle', 'bob.example')
    expect(cid).toMatch(/^bafyrei/)
    expect(JSON.parse(await done('resolve', did, '--data'))).toMatchObject({ alsoKnownAs: ['at://bob.example'], services: { atproto_pds: { endpoint: 'https://pds.example' } } })
    expect(JSON.parse(await done('resolve', did, '--log'))).toHaveLength(2)
    expect(JSON.parse(await done('resolve', did, '--audit'))).toMatchObject([{ nullified: false }, { cid }])
  })

  it('make an identity with keys that were given, and hand it to other keys', async () => {
    const { stele, done } = served
    const first = await done('keygen', 'operation', '--out', 'first.key')
    const second = await done('keygen', 'operation', '--curve', 'p256', '--out', 'second.key')
    const did = await done('did', 'create', '--rotation-key', second, '--rotation-key', 'first.key', '--signing-key', second)
    expect(JSON.parse(await done('resolve', did, '--data'))).toEqual({ did, rotationKeys: [second, first], verificationMethods: { atproto: second }, alsoKnownAs: [], services: {} })
    await done('did', 'update', did, '--key', 'first.key', '--rotation-key', 'second.key')
    expect(JSON.parse(await done('resolve', did, '--data'))).toMatchObject({ rotationKeys: [second] })

    expect(await stele('did', 'update', did, '--key', 'first.key', '--handle', 'x.example')).toMatchObject({ code: 2, stderr: expect.stringContaining('none of the rotation keys') as string })
    expect(await stele('did', 'update', did, '--key', 'second.key')).toMatchObject({ code: 2, stderr: expect.stringContaining('nothing to change') as string })
    expect(await stele('did', 'update', did, '--handle', 'x.example')).toMatchObject({ code: 2, stderr: expect.stringContaining('--key FILE') as string })
    expect(await stele('did', 'create', '--rotation-key', second)).toMatchObject({ code: 2, stderr: expect.stringContaining('no secret to sign with') as string })
  })
})
