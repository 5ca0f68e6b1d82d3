// What a program in Node leaves to the machine's own library. docs/client.md#in-node

import { useSha256 } from '../core/encoding/sha256.ts'
import { useEd25519, useEd25519Sign } from '../core/tlog/ed25519.ts'
import { useMlDsa44 } from '../core/tlog/ml-dsa.ts'
import { nativeEd25519, nativeEd25519Sign } from './ed25519.ts'
import { nativeMlDsa44 } from './ml-dsa.ts'
import { nativeSha256 } from './sha256.ts'

/** Hashes, and signs and checks notes, with OpenSSL from now on, in this thread. What is accepted, and what is not, stays the same. */
export function useNative(): void {
  useSha256(nativeSha256)
  useEd25519(nativeEd25519)
  useEd25519Sign(nativeEd25519Sign)
  useMlDsa44(nativeMlDsa44)
}
