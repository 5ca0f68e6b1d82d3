// The hash of the map. Everything in this room takes it as an argument, which may be faster where there is more than JavaScript. spec/map.md

import { sha256 } from '@noble/hashes/sha2.js'

/** SHA-256: 32 bytes, which are the caller's own. The input may be written to afterwards. */
export type Sha256 = (bytes: Uint8Array) => Uint8Array

/** The one that runs everywhere. */
export const portableSha256: Sha256 = (bytes) => sha256(bytes)
