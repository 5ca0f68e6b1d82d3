// `stele did update`: a new operation of an identity. docs/identities.md#changing-what-it-says

import { Command } from 'commander'
import { UsageError } from '../config.ts'
import { describeData } from '../client/changes.ts'
import type { DirectoryClient } from '../client/directory-client.ts'
import { operationValue, type Operation } from '../core/plc/operation.ts'
import { addIdentityOptions, addRemoveOptions, changed, type IdentityOptions } from './identity-options.ts'
import { readKeyArgument } from './operation-key.ts'
import { addSettings, CLIENT_SETTINGS, directoryOf } from './options.ts'
import { addKeyOption, prepare, readIdentity, readOwnerKey, requireRotationKey } from './owner.ts'
import { requireDid } from './resolve.ts'
import { checkRotationKeys } from './rotation-list.ts'
import { print } from './terminal.ts'

/** The command. */
export function updateCommand(): Command {
  return addRemoveOptions(addIdentityOptions(addKeyOption(addSettings(new Command('update'), CLIENT_SETTINGS))))
    .description('Change an identity and print the CID of the operation. What is not named stays; --rotation-key replaces all of them (`stele did rotate` changes some).')
    .argument('<did>', 'did:plc:...')
    .addHelpText(
      'after',
      '\nExamples:\n  $ stele did update did:plc:ewvi7nxzyoun6zhxrhs64oiz --handle bob.example.com --key bob.key\n' +
        '  $ stele did update did:plc:ewvi7nxzyoun6zhxrhs64oiz --service notes=NoteService,https://notes.example --remove-service old_notes',
    )
    .action(async (did: string, options: IdentityOptions & { key?: string }, command: Command) => {
      print((await updateIdentity(directoryOf(command), requireDid(did), options)).cid)
    })
}

async function updateIdentity(directory: DirectoryClient, did: string, options: IdentityOptions & { key?: string }): Promise<Operation> {
  const key = readOwnerKey(did, options.key)
  const listed = options.rotationKey?.map(readKeyArgument) ?? null
  const signingKey = options.signingKey === undefined ? null : readKeyArgument(options.signingKey).did
  const identity = await readIdentity(directory, did)
  requireRotationKey(identity, key)
  const next = changed(identity.data, options, listed?.map(({ did }) => did) ?? null, signingKey)
  if (describeData(next, identity.data).length === 0) {
    throw new UsageError('nothing to change: give --handle, --pds, --signing-key or another option that says something new')
  }
  // Unlike `rotate` it goes on, though not silently.
  if (listed !== null) checkRotationKeys(next.rotationKeys, new Set([key, ...listed].flatMap(({ signer }) => (signer === null ? [] : [signer.did]))), true)
  const { operation } = prepare(identity.chain, operationValue({ ...next, prev: identity.head.operation.cid }), key.signer, Date.now())
  await directory.submit(did, operation)
  return operation
}
