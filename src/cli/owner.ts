// What the commands of an identity's owner have in common: its verified history, the key that signs, and the last look
// at an operation before it is submitted. docs/identities.md

import { existsSync } from 'node:fs'
import type { Command } from 'commander'
import { readStateDir, UsageError } from '../config.ts'
import { parseAuditLog, verifyAuditLog } from '../client/audit.ts'
import type { DirectoryClient } from '../client/directory-client.ts'
import { describeDuration } from '../client/recovery.ts'
import type { CborMap } from '../core/encoding/dag-cbor.ts'
import { formatTimestamp } from '../core/encoding/timestamp.ts'
import { assert, verdictOf } from '../core/errors.ts'
import { admitOperation, checkRate } from '../core/plc/admission.ts'
import { applyOperation, headOf, parentOf, RECOVERY_WINDOW_MS, signatureQuestion, type Chain, type Link } from '../core/plc/chain.ts'
import { dataOf, rotationKeysOf, type IdentityData, type Operation } from '../core/plc/operation.ts'
import { findSigner, signOperation, type OperationSigner } from '../core/plc/signature.ts'
import { RefusedError } from './exit.ts'
import { defaultKeyFile } from './identity-options.ts'
import { readOperationKey } from './operation-key.ts'
import { say } from './terminal.ts'

/** An identity that has not ended. */
export interface Identity {
  readonly did: string
  /** Its whole history, every signature and rule checked. */
  readonly chain: Chain
  readonly head: Link
  /** What the head says. */
  readonly data: IdentityData
}

/** The secret that signs, and where it was read. */
export interface OwnerKey {
  readonly signer: OperationSigner
  readonly file: string
}

/** Adds `--key`. */
export function addKeyOption(command: Command): Command {
  return command.option('--key <file>', 'the rotation key that signs (default: the one that `did create` made)')
}

/** The key that `--key` names, or the one that `did create` made for the identity. Throws UsageError where there is none. */
export function readOwnerKey(did: string, given: string | undefined): OwnerKey {
  const file = given ?? defaultKeyFile(readStateDir(), did, 'rotation')
  if (given === undefined && !existsSync(file)) throw new UsageError(`there is no key in ${file}: name the rotation key that signs with --key FILE`)
  return { file, signer: readOperationKey(file).signer }
}

/** An identity's history. Verified before anything is signed: an operation is a promise about all that came before it. */
export async function readChain(directory: DirectoryClient, did: string): Promise<Chain> {
  const chain = verifyAuditLog(did, parseAuditLog(await directory.auditLog(did)))
  if (chain.links.length === 0) throw new RefusedError(`${directory.url} knows no operation of ${did}`)
  return chain
}

/** An identity as it is now. Throws UsageError where it has ended. */
export async function readIdentity(directory: DirectoryClient, did: string): Promise<Identity> {
  const chain = await readChain(directory, did)
  const head = headOf(chain)
  assert(head !== null, 'a chain that is not empty has a head')
  const data = dataOf(head.operation)
  if (data === null) throw new UsageError(`${did} has been ended by a tombstone; only a recovery can bring it back: stele did recover ${did} --dry-run`)
  return { did, chain, head, data }
}

/** Throws UsageError unless the key is one of the identity's rotation keys. */
export function requireRotationKey({ did, data }: Identity, { signer, file }: OwnerKey): void {
  if (!data.rotationKeys.includes(signer.did)) throw new UsageError(`${file} is the key ${signer.did}, which is none of the rotation keys of ${did}`)
}

/**
 * The signed operation, judged as a directory would judge it at `now` (milliseconds since 1970), by its limits and its
 * place in the chain. Throws the verdict, and RefusedError where no signature of this key counts. Its rate is another
 * directory's own affair: it warns.
 */
export function prepare(chain: Chain, unsigned: CborMap, signer: OperationSigner, now: number): { readonly operation: Operation; readonly signer: number } {
  const operation = signOperation(unsigned, signer)
  admitOperation(operation)
  const question = signatureQuestion(operation, chain)
  const answer = findSigner(question)
  if (answer === null) throw new RefusedError(`the key ${signer.did} cannot sign here: it is none of the rotation keys, or one that stands before it cannot be parsed. Nothing was submitted`)
  const at = Math.max(now, (headOf(chain)?.createdAt ?? now) + 1)
  applyOperation(chain, operation, at, answer)
  const { verdict } = verdictOf(() => checkRate(chain, operation, at))
  if (verdict !== null) say(`warning: the directory may refuse this for now, because the identity has changed often (${verdict.message}). Try again later then`)
  return { operation, signer: answer }
}

/** Says who can undo an operation that key number `signer` of those named by its `prev` signs at `now`, and until when. */
export function sayWhoCanUndo(chain: Chain, operation: Operation, signer: number, now: number): void {
  const parent = parentOf(chain, operation)
  const keys = parent === null ? [] : rotationKeysOf(chain.links[parent]?.operation ?? operation)
  const until = `${formatTimestamp(now + RECOVERY_WINDOW_MS)} (${describeDuration(RECOVERY_WINDOW_MS)})`
  if (signer === 0) {
    say(`signed by rotation key 1 of ${keys.length}, the strongest: nothing can undo it`)
    return
  }
  say(`signed by rotation key ${signer + 1} of ${keys.length}: until ${until} a stronger one can undo it, and nothing afterwards:`)
  for (const [index, key] of keys.slice(0, signer).entries()) say(`  ${index + 1}  ${key}`)
}

/** An argument as a shell takes it. */
export function shellWord(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`
}
