// Keys that sign operations, as files hold them: the multibase secret of a Multikey, one line. README.md#state

import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { UsageError } from '../config.ts'
import { base58btc, concatBytes } from '../core/encoding/text.ts'
import { DirectoryError, verdictOf } from '../core/errors.ts'
import { parseDidKey, type Curve } from '../core/plc/did-key.ts'
import { signerFromSecret, type OperationSigner } from '../core/plc/signature.ts'

/** A key pair. */
export interface OperationKey {
  readonly signer: OperationSigner
  /** `z` and the base58btc of the multicodec of the secret (secp256k1-priv or p256-priv) and its 32 bytes. */
  readonly secret: string
}

const SECRET_BYTES = 32

/** What secrets look like here and elsewhere: multibase, hexadecimal, and those of logs. */
const SECRET_FORM = /^(?:z[1-9A-HJ-NP-Za-km-z]{40,}|[0-9a-fA-F]{64}|PRIVATE\+KEY\+.*)$/

/** Multicodecs 0x1301 and 0x1306 as varints. */
const MULTICODECS: Readonly<Record<Curve, Uint8Array>> = {
  k256: Uint8Array.of(0x81, 0x26),
  p256: Uint8Array.of(0x86, 0x26),
}

/** A new random key pair. */
export function makeOperationKey(curve: Curve): OperationKey {
  for (;;) {
    const bytes = Uint8Array.from(randomBytes(SECRET_BYTES))
    const signer = signerOf(curve, bytes)
    if (signer !== null) return { signer, secret: `z${base58btc.encode(concatBytes(MULTICODECS[curve], bytes))}` }
  }
}

/** The key pair in a secret's text. Throws UsageError, which never shows the text, for any other text. */
export function parseOperationKey(text: string, where: string): OperationKey {
  const bytes = text.startsWith('z') && text.length < 64 ? verdictOf(() => base58btc.decode(text.slice(1))).value : null
  for (const curve of ['k256', 'p256'] as const) {
    const codec = MULTICODECS[curve]
    if (bytes?.length !== codec.length + SECRET_BYTES || !codec.every((byte, i) => byte === bytes[i])) continue
    const signer = signerOf(curve, bytes.slice(codec.length))
    if (signer !== null) return { signer, secret: text }
  }
  throw new UsageError(`${where} does not hold the secret of a key for operations (z..., as \`stele keygen operation\` makes it)`)
}

/** The key pair in a file. Throws UsageError for a file that holds none or a secret in the place of its name, and what reading throws. */
export function readOperationKey(path: string): OperationKey {
  // Not quoted, as "there is no file z..." would be.
  if (SECRET_FORM.test(path)) throw new UsageError('a key is named by its file, and this looks like the secret itself. Put it into a file that only you can read, and out of the history of your shell')
  return parseOperationKey(readFileSync(path, 'utf8').trim(), path)
}

/** A did:key as it is, or the key pair in the file that is named: what `--rotation-key` and `--signing-key` take. */
export function readKeyArgument(argument: string): { readonly did: string; readonly signer: OperationSigner | null } {
  if (!argument.startsWith('did:key:')) {
    const { signer } = readOperationKey(argument)
    return { did: signer.did, signer }
  }
  try {
    parseDidKey(argument)
  } catch (error) {
    if (error instanceof DirectoryError) throw new UsageError(`${argument} is not the did:key of a key on P-256 or secp256k1`)
    throw error
  }
  return { did: argument, signer: null }
}

// Null for the few secrets that no curve has: zero, and those above the order.
function signerOf(curve: Curve, secret: Uint8Array): OperationSigner | null {
  try {
    return signerFromSecret(curve, secret)
  } catch {
    return null
  }
}
