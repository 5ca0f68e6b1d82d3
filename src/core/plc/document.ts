// An identity as clients see it: its DID document and its data, as JSON text. spec/did-plc.md#document

import { renderedKeys, renderJson } from '../encoding/json.ts'
import { multikeyCurve, type Curve } from './did-key.ts'
import type { IdentityData, ServiceEndpoint } from './operation.ts'

const CONTEXTS = ['https://www.w3.org/ns/did/v1', 'https://w3id.org/security/multikey/v1']

const CURVE_CONTEXTS: Readonly<Record<Curve, string>> = {
  p256: 'https://w3id.org/security/suites/ecdsa-2019/v1',
  k256: 'https://w3id.org/security/suites/secp256k1-2019/v1',
}

/** Finds the curve of a did:key: `multikeyCurve`, or whatever gives the same answers. */
export type CurveOf = (text: string) => Curve | null

/**
 * The DID document, JSON text without white space, byte for byte that of the deployed directory. A verification
 * method whose key is of no known curve is shown and adds no context. spec/did-plc.md#document
 */
export function renderDocument(did: string, data: IdentityData, curveOf: CurveOf = multikeyCurve): string {
  const contexts = new Set(CONTEXTS)
  const methods = entriesOf(data.verificationMethods).map(([id, key]) => {
    const curve = curveOf(key)
    if (curve !== null) contexts.add(CURVE_CONTEXTS[curve])
    return object({
      id: text(`${did}#${id}`),
      type: text('Multikey'),
      controller: text(did),
      publicKeyMultibase: text(key.replace(/^did:key:/, '')),
    })
  })
  const services = entriesOf(data.services).map(([id, { type, endpoint }]) =>
    object({ id: text(`#${id}`), type: text(type), serviceEndpoint: text(endpoint) }),
  )
  return object({
    '@context': renderJson([...contexts]),
    id: text(did),
    alsoKnownAs: renderJson(data.alsoKnownAs),
    verificationMethod: `[${methods.join(',')}]`,
    service: `[${services.join(',')}]`,
  })
}

/** What an identity's newest operation says, as the JSON text that `GET /:did/data` answers. spec/did-plc.md#data */
export function renderData(did: string, data: IdentityData): string {
  return object({
    did: text(did),
    verificationMethods: renderJson(data.verificationMethods),
    rotationKeys: renderJson(data.rotationKeys),
    alsoKnownAs: renderJson(data.alsoKnownAs),
    services: renderJson(new Map([...data.services].map(([id, service]) => [id, serviceValue(service)]))),
  })
}

function serviceValue({ type, endpoint }: ServiceEndpoint): ReadonlyMap<string, string> {
  return new Map([
    ['type', type],
    ['endpoint', endpoint],
  ])
}

// In the order in which the deployed directory shows them.
function entriesOf<T>(map: ReadonlyMap<string, T>): [string, T][] {
  return renderedKeys(map).flatMap((key) => {
    const value = map.get(key)
    return value === undefined ? [] : [[key, value]]
  })
}

const text = renderJson

/** An object from members that are JSON text already, in the order given. */
function object(members: Readonly<Record<string, string>>): string {
  const parts = Object.entries(members).map(([key, json]) => `${text(key)}:${json}`)
  return `{${parts.join(',')}}`
}
