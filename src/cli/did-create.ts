// `stele did create`: a new identity.

import { Command, Option } from 'commander'
import { readStateDir, UsageError } from '../config.ts'
import type { DirectoryClient } from '../client/directory-client.ts'
import { admitOperation } from '../core/plc/admission.ts'
import type { Curve } from '../core/plc/did-key.ts'
import { didOf } from '../core/plc/did.ts'
import { operationValue } from '../core/plc/operation.ts'
import { signOperation } from '../core/plc/signature.ts'
import { makeOperationKey, readKeyArgument, readOperationKey, type OperationKey } from './operation-key.ts'
import { addIdentityOptions, changed, defaultKeyFile, type IdentityOptions } from './identity-options.ts'
import { addSettings, CLIENT_SETTINGS, directoryOf } from './options.ts'
import { writeSecretFile } from '../secret-file.ts'
import { print, say } from './terminal.ts'

type CreateOptions = IdentityOptions & { readonly key?: string; readonly curve: Curve }

/** The command. */
export function createCommand(): Command {
  return addIdentityOptions(addSettings(new Command('create'), CLIENT_SETTINGS))
    .description('Create an identity and print its DID. Keys that are not given are made, and kept in the state folder.')
    .option('--key <file>', 'the rotation key that signs, where --rotation-key names no file')
    .addOption(new Option('--curve <curve>', 'of the keys that are made: secp256k1 or P-256').choices(['k256', 'p256']).default('k256'))
    .addHelpText(
      'after',
      '\nExamples:\n  $ stele did create --handle alice.example --pds https://pds.example\n' +
        '  $ stele did create --handle alice.example --rotation-key paper.key --rotation-key daily.key --service notes=NoteService,https://notes.example\n\n' +
        'Made keys go to $XDG_STATE_HOME/stele/keys/ (default ~/.local/state): whoever has the rotation key controls the identity.',
    )
    .action(async (options: CreateOptions, command: Command) => {
      print(await createIdentity(directoryOf(command), readStateDir(), options))
    })
}

async function createIdentity(directory: DirectoryClient, stateDir: string, options: CreateOptions): Promise<string> {
  const made: { role: 'rotation' | 'signing'; key: OperationKey }[] = []
  const make = (role: 'rotation' | 'signing'): OperationKey => {
    const key = makeOperationKey(options.curve)
    made.push({ role, key })
    return key
  }
  const rotation = options.rotationKey?.map(readKeyArgument) ?? [make('rotation').signer].map((signer) => ({ did: signer.did, signer }))
  const signing = options.signingKey === undefined ? make('signing').signer.did : readKeyArgument(options.signingKey).did
  const signer = options.key === undefined ? rotation.find((key) => key.signer !== null)?.signer : readOperationKey(options.key).signer
  if (signer === undefined || signer === null) throw new UsageError('no secret to sign with: give --key FILE, or one of the --rotation-key as a file')
  const rotationKeys = rotation.map((key) => key.did)
  if (!rotationKeys.includes(signer.did)) throw new UsageError(`--key is the key ${signer.did}, which is none of the rotation keys`)

  const nothing = { rotationKeys, verificationMethods: new Map<string, string>(), alsoKnownAs: [], services: new Map<string, never>() }
  const genesis = signOperation(operationValue({ ...changed(nothing, options, rotationKeys, signing), prev: null }), signer)
  admitOperation(genesis)
  const did = didOf(genesis.bytes)
  // Before the identity exists: one whose keys are lost would be lost with them.
  for (const { role, key } of made) {
    const path = defaultKeyFile(stateDir, did, role)
    writeSecretFile(path, key.secret)
    say(`made a ${role} key: ${path}`)
  }
  await directory.submit(did, genesis)
  return did
}
