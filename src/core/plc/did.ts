// The identifier: a prefix of the genesis operation's hash. spec/did-plc.md#did

import { sha256 } from '@noble/hashes/sha2.js'
import { base32 } from '../encoding/text.ts'

const FORM = /^did:plc:[a-z2-7]{24}$/

/** Whether a text is a did:plc identifier: `did:plc:` and exactly 24 characters of base32 in lower case. spec/did-plc.md#did */
export function isDid(text: string): boolean {
  return FORM.test(text)
}

/** The DID of a genesis operation, from the DAG-CBOR of the operation with its signature. spec/did-plc.md#did */
export function didOf(genesisBytes: Uint8Array): string {
  return `did:plc:${base32.encode(sha256(genesisBytes)).slice(0, 24)}`
}
