// A receipt and all that is needed to verify it, made without a server.

import { encodeEntry } from '../../src/core/entry.ts'
import { renderJson } from '../../src/core/encoding/json.ts'
import { renderLegacy } from '../../src/core/plc/records.ts'
import { formatReceipt } from '../../src/core/receipt.ts'
import { signCheckpoint } from '../../src/core/tlog/checkpoint.ts'
import { leafHash, nodeHash } from '../../src/core/tlog/hash.ts'
import { formatVerifierKey, KEY_TYPES, makeSigningKey } from '../../src/core/tlog/note.ts'
import { person } from './people.ts'
import { FIRST_MS, identityLeaves, LOG_KEY } from './stored-log.ts'

/** The texts that a user has in files. */
export interface ReceiptTexts {
  readonly did: string
  /** For entry 1 of a log of two. */
  readonly receipt: string
  readonly operation: string
  readonly record: string
  readonly vkey: string
  /** Another log's. */
  readonly otherVkey: string
}

/** The receipt for the genesis of a person. */
export function receiptFor(name: string): ReceiptTexts {
  const { did, genesis } = person(name)
  const entry = { did, createdAt: FIRST_MS, operation: genesis, source: null }
  const [first = new Uint8Array()] = identityLeaves(1)
  const root = nodeHash(leafHash(first), leafHash(encodeEntry(entry)))
  const checkpoint = signCheckpoint({ origin: LOG_KEY.name, size: 2, root }, [LOG_KEY])
  return {
    did,
    receipt: formatReceipt(entry, 1, [leafHash(first)], checkpoint),
    operation: renderJson(genesis.value),
    record: renderLegacy({ did, operation: genesis, cid: genesis.cid, createdAt: FIRST_MS, nullified: false }),
    vkey: formatVerifierKey(LOG_KEY),
    otherVkey: formatVerifierKey(makeSigningKey('other.test/log', KEY_TYPES.ed25519, new Uint8Array(32).fill(1))),
  }
}
