// The clients that people use, unmodified, doing their work against a running directory.

import { PlcDidDocumentResolver } from '@atcute/identity-resolver'
import { DidPlcResolver, DidResolver, IdResolver, MemoryCache } from '@atproto/identity'
import { DidCacheMemory, DidPlcMethod, DidResolverCached, DidResolverCommon } from '@atproto-labs/did-resolver'
import { Client, PlcClientError, validateOperationLog } from '@did-plc/lib'
import { describe, expect, it } from 'vitest'
import { base64url } from '../../src/core/encoding/text.ts'
import packageJson from '../../package.json' with { type: 'json' }
import { newHome } from '../support/program.ts'
import { signer } from '../support/people.ts'

type Keypair = Parameters<Client['tombstone']>[1]

function keypair(name: string, curve: 'k256' | 'p256' = 'k256'): Keypair {
  const key = signer(name, curve)
  return { did: () => key.did, sign: (message) => Promise.resolve(base64url.decode(key.sign(message))) }
}

const OWNER = keypair('owner')
const SIGNING = keypair('signing', 'p256')
const NEXT = keypair('next')

const create = (client: Client): Promise<string> =>
  client.createDid({ signingKey: SIGNING.did(), handle: 'alice.test', pds: 'https://pds.test', rotationKeys: [OWNER.did()], signer: OWNER })

/** `stele serve`, as anybody would run it. */
async function openDirectory(): Promise<AsyncDisposable & { readonly url: string }> {
  const home = newHome()
  const { child, line, ended } = home.start(['serve', '--port', '0'])
  const url = (await line).replace('stele listening on ', '')
  return {
    url,
    async [Symbol.asyncDispose]() {
      child.kill('SIGTERM')
      await ended
      home[Symbol.dispose]()
    },
  }
}

/** What a refused call of the client says. */
async function refusal(work: Promise<unknown>): Promise<{ status: number; message: unknown }> {
  try {
    await work
  } catch (error) {
    if (error instanceof PlcClientError) return { status: error.status, message: (error.data as { message: unknown }).message }
    throw error
  }
  throw new Error('it was not refused')
}

describe('@did-plc/lib', () => {
  it('creates, updates, reads and ends an identity', async () => {
    await using counter = await openDirectory()
    const client = new Client(counter.url)
    const did = await create(client)

    expect(await client.getDocumentData(did)).toEqual({
      did,
      verificationMethods: { atproto: SIGNING.did() },
      rotationKeys: [OWNER.did()],
      alsoKnownAs: ['at://alice.test'],
      services: { atproto_pds: { type: 'AtprotoPersonalDataServer', endpoint: 'https://pds.test' } },
    })
    await client.updateHandle(did, OWNER, 'ali.test')
    await client.updatePds(did, OWNER, 'https://other.test')
    await client.updateAtprotoKey(did, OWNER, NEXT.did())
    await client.updateRotationKeys(did, OWNER, [NEXT.did(), OWNER.did()])
    expect(await client.getDocument(did)).toMatchObject({
      id: did,
      alsoKnownAs: ['at://ali.test'],
      service: [{ id: '#atproto_pds', serviceEndpoint: 'https://other.test' }],
      verificationMethod: [{ id: `${did}#atproto`, publicKeyMultibase: NEXT.did().slice('did:key:'.length) }],
    })

    const log = await client.getOperationLog(did)
    expect(log).toHaveLength(5)
    expect(await validateOperationLog(did, log)).toEqual(await client.getDocumentData(did))
    expect(await client.getLastOp(did)).toEqual(log[4])
    const audit = await client.getAuditableLog(did)
    expect(audit.map((record) => record.operation)).toEqual(log)
    expect(await client.export()).toEqual(audit)
    expect((await client.export(audit[1]?.createdAt, 2)).map((record) => record.cid)).toEqual(audit.slice(2, 4).map((record) => record.cid))

    await client.tombstone(did, NEXT)
    expect(await refusal(client.getDocument(did))).toEqual({ status: 404, message: `DID not available: ${did}` })
    expect(await client.getLastOp(did)).toMatchObject({ type: 'plc_tombstone' })
    await expect(client.updateHandle(did, NEXT, 'again.test')).rejects.toThrow('Cannot apply op to tombstone')
    expect(await client.health()).toMatchObject({ version: packageJson.version })
  })

  it('is told what is wrong', async () => {
    await using counter = await openDirectory()
    const client = new Client(counter.url)
    const did = await create(client)
    const unknown = 'did:plc:aaaaaaaaaaaaaaaaaaaaaaaa'
    expect(await refusal(client.getDocument(unknown))).toEqual({ status: 404, message: `DID not registered: ${unknown}` })
    expect(await refusal(client.getLastOp('did:web:x'))).toEqual({ status: 404, message: 'DID not registered: did:web:x' })
    expect(await refusal(client.updateHandle(did, SIGNING, 'thief.test'))).toMatchObject({ status: 400, message: expect.stringMatching(/^Invalid signature on op: \{/) })
    expect(await refusal(client.updateRotationKeys(did, OWNER, ['did:key:zrubbish']))).toEqual({ status: 400, message: 'Invalid rotationKey: did:key:zrubbish' })
    expect(await client.getOperationLog(did)).toHaveLength(1)
  })
})

describe('@atproto/identity', () => {
  it('resolves, and takes an unknown or ended identity for none', async () => {
    await using counter = await openDirectory()
    const client = new Client(counter.url)
    const did = await create(client)
    const resolvers = [new DidPlcResolver(counter.url, 3_000, undefined, fetch), new DidResolver({ plcUrl: counter.url, fetch }), new IdResolver({ plcUrl: counter.url, fetch }).did]
    for (const resolver of resolvers) {
      expect(await resolver.resolve(did)).toMatchObject({ id: did, alsoKnownAs: ['at://alice.test'] })
      expect(await resolver.resolveAtprotoData(did)).toEqual({ did, signingKey: SIGNING.did(), handle: 'alice.test', pds: 'https://pds.test' })
      expect(await resolver.resolve('did:plc:aaaaaaaaaaaaaaaaaaaaaaaa')).toBeNull()
    }
    const message = new Uint8Array([1, 2, 3])
    expect(await new DidResolver({ plcUrl: counter.url, fetch }).verifySignature(did, message, await SIGNING.sign(message))).toBe(true)

    const cached = new DidResolver({ plcUrl: counter.url, fetch, didCache: new MemoryCache() })
    expect(await cached.resolve(did)).toMatchObject({ alsoKnownAs: ['at://alice.test'] })
    await client.updateHandle(did, OWNER, 'ali.test')
    expect(await cached.resolve(did, true)).toMatchObject({ alsoKnownAs: ['at://ali.test'] })
    await client.tombstone(did, OWNER)
    for (const resolver of resolvers) expect(await resolver.resolve(did)).toBeNull()
  })
})

describe('@atcute/identity-resolver', () => {
  it('resolves, and says which identities are not there', async () => {
    await using counter = await openDirectory()
    const client = new Client(counter.url)
    const did = (await create(client)) as `did:plc:${string}`
    const resolver = new PlcDidDocumentResolver({ apiUrl: counter.url })
    expect(await resolver.resolve(did)).toMatchObject({ id: did, alsoKnownAs: ['at://alice.test'] })
    expect(await resolver.resolve(did, { noCache: true })).toEqual(await client.getDocument(did))
    await expect(resolver.resolve('did:plc:aaaaaaaaaaaaaaaaaaaaaaaa')).rejects.toMatchObject({ name: 'DocumentNotFoundError' })
    await client.tombstone(did, OWNER)
    await expect(resolver.resolve(did)).rejects.toMatchObject({ name: 'DocumentNotFoundError' })
  })
})

describe('@atproto-labs/did-resolver', () => {
  it('resolves, and says which identities are not there', async () => {
    await using counter = await openDirectory()
    const client = new Client(counter.url)
    const did = (await create(client)) as `did:plc:${string}`
    const plcDirectoryUrl = counter.url
    const resolvers = [new DidResolverCommon({ plcDirectoryUrl, fetch }), new DidPlcMethod({ plcDirectoryUrl, fetch })]
    for (const resolver of resolvers) {
      expect(await resolver.resolve(did)).toMatchObject({
        id: did,
        alsoKnownAs: ['at://alice.test'],
        verificationMethod: [{ id: `${did}#atproto`, type: 'Multikey', publicKeyMultibase: SIGNING.did().slice('did:key:'.length) }],
        service: [{ id: '#atproto_pds', type: 'AtprotoPersonalDataServer', serviceEndpoint: 'https://pds.test' }],
      })
    }
    const [resolver] = resolvers
    await expect(resolver?.resolve('did:plc:aaaaaaaaaaaaaaaaaaaaaaaa')).rejects.toMatchObject({ message: expect.stringMatching(/^DID not /), code: 'did-fetch-error', status: 404 })
    const cached = new DidResolverCached(new DidResolverCommon({ plcDirectoryUrl, fetch }), new DidCacheMemory())
    expect(await cached.resolve(did)).toMatchObject({ alsoKnownAs: ['at://alice.test'] })
    await client.updateHandle(did, OWNER, 'ali.test')
    expect(await cached.resolve(did, { noCache: true })).toMatchObject({ alsoKnownAs: ['at://ali.test'] })
    await client.tombstone(did, OWNER)
    await expect(resolver?.resolve(did)).rejects.toMatchObject({ message: expect.stringMatching(/^DID not /), code: 'did-fetch-error', status: 404 })
  })
})
