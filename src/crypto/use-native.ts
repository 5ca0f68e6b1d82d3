// What a program in Node leaves to the machine's own library. docs/client.md#in-node

import { useSha256 } from '../core/encoding/sha256.ts'
import { useEd25519 } from '../core/tlog/ed25519.ts'
import { nativeEd25519 } from './ed25519.ts'
import { nativeSha256 } from './sha256.ts'

/** Hashes and checks the signatures of notes with OpenSSL from now on, in this thread. What is accepted, and what is not, stays the same. */
export function useNative(): void {
  useSha256(nativeSha256)
  useEd25519(nativeEd25519)
}
