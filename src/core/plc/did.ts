// The identifier: a prefix of the genesis operation's hash. spec/did-plc.md#did

import { sha256 } from '../encoding/sha256.ts'
import { base32 } from '../encoding/text.ts'

const FORM = /^did:plc:[a-z2-7]{24}$/

/** Whether a text is a did:plc identifier: `did:plc:` and exactly 24 characters of base32 in lower case. spec/did-plc.md#did */
export function isDid(text: string): boolean {
  return FORM.test(text)
}

/** The DID of the genesis operation with this CID (base32), which holds the same hash 32 bits further on. */
export function didOfCid(cid: string): string {
  let did = 'did:plc:'
  let before = DIGITS.indexOf(cid.charAt(7))
  for (let i = 8; i < 32; i++) {
    const digit = DIGITS.indexOf(cid.charAt(i))
    did += DIGITS.charAt((before % 8) * 4 + Math.floor(digit / 8))
    before = digit
  }
  return did
}

const DIGITS = 'abcdefghijklmnopqrstuvwxyz234567'

/** The DID of a genesis operation, from the DAG-CBOR of the operation with its signature. spec/did-plc.md#did */
export function didOf(genesisBytes: Uint8Array): string {
  return `did:plc:${base32.encode(sha256(genesisBytes)).slice(0, 24)}`
}
