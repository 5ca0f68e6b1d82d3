import { p256 } from '@noble/curves/nist.js'
import { formatDidDoc } from '@did-plc/lib'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { compareKeys } from '../../../src/core/encoding/dag-cbor.ts'
import { base58btc } from '../../../src/core/encoding/text.ts'
import { renderData, renderDocument } from '../../../src/core/plc/document.ts'
import type { IdentityData } from '../../../src/core/plc/operation.ts'
import { identityData, testKey } from '../../support/identities.ts'

const did = 'did:plc:ragtjsm2j2vknwkz3zp4oxrd'
const [k256, p256Key] = [testKey(0).did, testKey(1).did]
const ED25519 = 'did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK'
const uncompressed = `did:key:z${base58btc.encode(Uint8Array.of(0x80, 0x24, ...p256.Point.BASE.toBytes(false)))}`

const BASE = ['https://www.w3.org/ns/did/v1', 'https://w3id.org/security/multikey/v1']
const SECP256K1 = 'https://w3id.org/security/suites/secp256k1-2019/v1'
const ECDSA = 'https://w3id.org/security/suites/ecdsa-2019/v1'

describe('a DID document', () => {
  it('is, byte for byte, what the deployed directory answers', () => {
    expect(renderDocument(did, identityData([k256]))).toBe(
      `{"@context":["https://www.w3.org/ns/did/v1","https://w3id.org/security/multikey/v1","https://w3id.org/security/suites/secp256k1-2019/v1"],` +
        `"id":"${did}","alsoKnownAs":["at://alice.example"],` +
        `"verificationMethod":[{"id":"${did}#atproto","type":"Multikey","controller":"${did}","publicKeyMultibase":"${k256.slice(8)}"}],` +
        `"service":[{"id":"#atproto_pds","type":"AtprotoPersonalDataServer","serviceEndpoint":"https://pds.example"}]}`,
    )
  })

  it('names the context of each kind of key once, in the order of the methods, and none for keys that it does not know', () => {
    const contexts = (keys: string[]) => contextsOf({ ...identityData([]), verificationMethods: new Map(keys.map((key, i) => [`m${i}`, key])) })
    expect(contexts([p256Key, k256, p256Key])).toEqual([...BASE, ECDSA, SECP256K1])
    expect(contexts([k256, p256Key, k256])).toEqual([...BASE, SECP256K1, ECDSA])
    expect(contexts([ED25519, uncompressed, 'did:key:z', 'did:key:zabc', 'anything', ''])).toEqual(BASE)
    expect(contexts([])).toEqual(BASE)
  })

  it('orders methods and services as a JavaScript object with keys in DAG-CBOR order would', () => {
    const id = fc.oneof(fc.string({ unit: 'binary', maxLength: 4 }), fc.constantFrom('__proto__', '10', '9', '0', '01', '-1', '4294967294', '4294967295', 'é', ''))
    fc.assert(
      fc.property(fc.uniqueArray(id, { maxLength: 10 }), (ids) => {
        const data: IdentityData = {
          ...identityData([]),
          verificationMethods: new Map(ids.map((id) => [id, ED25519])),
          services: new Map(ids.map((id) => [id, { type: id, endpoint: id }])),
        }
        const stored = JSON.parse(`{${[...ids].sort(compareKeys).map((id) => `${JSON.stringify(id)}:0`).join(',')}}`) as Record<string, number>
        const ordered = Object.keys(stored)
        const document = JSON.parse(renderDocument(did, data)) as Record<string, { id: string }[]>
        expect(document['verificationMethod']?.map(({ id }) => id)).toEqual(ordered.map((id) => `${did}#${id}`))
        expect(document['service']?.map(({ id }) => id)).toEqual(ordered.map((id) => `#${id}`))
        expect(Object.keys((JSON.parse(renderData(did, data)) as { services: object }).services)).toEqual(ordered)
      }),
    )
  })

  it('holds what the published library puts into its own, older form of it', () => {
    const data = identityData([k256])
    const theirs = formatDidDoc({
      did,
      rotationKeys: [...data.rotationKeys],
      verificationMethods: Object.fromEntries(data.verificationMethods),
      alsoKnownAs: [...data.alsoKnownAs],
      services: Object.fromEntries(data.services),
    })
    expect(JSON.parse(renderDocument(did, data))).toMatchObject({ id: did, alsoKnownAs: theirs.alsoKnownAs, service: theirs.service })
  })

  it('is well-formed JSON whatever the texts in it are', () => {
    const text = fc.string({ unit: 'binary', maxLength: 8 })
    fc.assert(
      fc.property(text, text, text, (a, b, c) => {
        const data = { rotationKeys: [a], verificationMethods: new Map([[a, b]]), alsoKnownAs: [c], services: new Map([[b, { type: c, endpoint: a }]]) }
        expect(JSON.parse(renderDocument(did, data))).toEqual({
          '@context': BASE,
          id: did,
          alsoKnownAs: [c],
          verificationMethod: [{ id: `${did}#${a}`, type: 'Multikey', controller: did, publicKeyMultibase: b.replace(/^did:key:/, '') }],
          service: [{ id: `#${b}`, type: c, serviceEndpoint: a }],
        })
      }),
    )
  })
})

it('renders the data of an identity with the members in the deployed order', () => {
  expect(renderData(did, identityData([k256, p256Key]))).toBe(
    `{"did":"${did}","verificationMethods":{"atproto":"${k256}"},"rotationKeys":["${k256}","${p256Key}"],` +
      `"alsoKnownAs":["at://alice.example"],"services":{"atproto_pds":{"type":"AtprotoPersonalDataServer","endpoint":"https://pds.example"}}}`,
  )
})

function contextsOf(data: IdentityData): unknown {
  return (JSON.parse(renderDocument(did, data)) as { '@context': unknown })['@context']
}
