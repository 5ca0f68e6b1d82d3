import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { missingIn } from '../../src/cli/did-move.ts'
import { renderDocument } from '../../src/core/plc/document.ts'
import { identityData, makeIdentity, testKey } from '../support/identities.ts'
import { openOwnerScene, type OwnerScene } from '../support/owner.ts'

describe('an identity that moves to another server', () => {
  let scene: OwnerScene
  let pds: Server
  let pdsUrl: string
  const asked: (string | undefined)[] = []
  const { did, genesis } = makeIdentity([0, 1], 0, 'alice.test')

  beforeAll(async () => {
    pds = createServer((request, response) => {
      asked.push(request.url)
      const healthy = request.url === '/xrpc/_health'
      response.statusCode = healthy ? 200 : 501
      response.end(healthy ? '{"version":"1.2\\u001b[2J"}' : 'not here')
    })
    await new Promise<void>((resolve) => pds.listen(0, '127.0.0.1', resolve))
    pdsUrl = `http://127.0.0.1:${(pds.address() as AddressInfo).port}`
    scene = await openOwnerScene()
    await scene.submit(did, genesis)
  })

  afterAll(() => {
    pds.close()
    scene[Symbol.dispose]()
  })

  const move = (...args: readonly string[]): ReturnType<OwnerScene['stele']> => scene.stele('did', 'move', did, '--key', '1.key', ...args)

  it('does not, where the new one does not answer or nobody confirms', async () => {
    const nobody = await move('--pds', 'http://127.0.0.1:9', '--signing-key', testKey(3).did, '--yes')
    expect(nobody).toMatchObject({ code: 1, stdout: '', stderr: expect.stringContaining('--no-check moves there all the same') as string })
    const unconfirmed = await move('--pds', pdsUrl, '--signing-key', testKey(3).did)
    expect(unconfirmed).toMatchObject({ code: 2, stdout: '', stderr: expect.stringContaining('has to be confirmed') as string })
    expect(await scene.count(did)).toBe(1)
  })

  it('names it and its key in one operation, and sees that the new document is served', async () => {
    const moved = await move('--pds', pdsUrl, '--signing-key', '3.key', '--yes')
    expect(moved.code, moved.stderr).toBe(0)
    expect(moved.stderr).toContain('the new server answers: it is healthy, version "1.2\\u001b[2J"')
    expect(moved.stderr).toContain(`moved to the server ${pdsUrl} from https://pds.example`)
    expect(moved.stderr).toContain(`changed the signing key to ${testKey(3).did} from ${testKey(0).did}`)
    expect(moved.stderr).toContain(`${scene.url} serves the new document`)
    expect(moved.stderr).toContain('see whose rotation keys these are')
    expect(asked).toContain('/xrpc/com.atproto.server.describeServer')
    expect(await scene.count(did)).toBe(2)
    expect(JSON.parse(await scene.directory.data(did))).toMatchObject({ services: { atproto_pds: { endpoint: pdsUrl } }, verificationMethods: { atproto: testKey(3).did } })
  })

  it('is not asked to move where it is', async () => {
    expect(await move('--pds', pdsUrl, '--signing-key', testKey(3).did, '--no-check')).toMatchObject({ code: 2, stderr: expect.stringContaining('nothing to change') as string })
  })
})

describe('a document', () => {
  it('is compared with what it should say', () => {
    const { did } = makeIdentity([0])
    const data = identityData([testKey(0).did])
    const document = JSON.parse(renderDocument(did, data)) as Record<string, unknown>
    expect(missingIn(document, did, data)).toEqual([])
    expect(missingIn({ ...document, service: [{ id: `${did}#atproto_pds`, serviceEndpoint: 'https://pds.example' }] }, did, data)).toEqual([])
    expect(missingIn({ ...document, service: [] }, did, data)).toEqual(['the new server'])
    expect(missingIn({ ...document, verificationMethod: [null] }, did, data)).toEqual(['the new signing key'])
    for (const nothing of [null, [], 'x', {}]) expect(missingIn(nothing, did, data)).toHaveLength(3)
  })
})
