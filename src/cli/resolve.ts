// `stele resolve DID|HANDLE`: what a directory says of an identity. docs/identities.md#resolving

import { Command } from 'commander'
import { UsageError } from '../config.ts'
import { handleOf, show } from '../client/changes.ts'
import { parseHandle, resolveHandle, type HandleLookup, type ResolvedHandle } from '../client/handle.ts'
import { parseJson } from '../client/json.ts'
import { isDid } from '../core/plc/did.ts'
import { EXIT, RefusedError } from './exit.ts'
import { systemLookup } from './handle-lookup.ts'
import { addSettings, CLIENT_SETTINGS, directoryOf } from './options.ts'
import { addVerifyOptions, resolveVerified, type VerifyOptions } from './resolve-verified.ts'
import { printJson, say } from './terminal.ts'

/** The command. `lookup` asks the owners of handles. */
export function resolveCommand(lookup: HandleLookup = systemLookup()): Command {
  const resolve = addSettings(new Command('resolve'), CLIENT_SETTINGS)
    .description('Print the DID document of an identity. Exit code 3 where a handle leads to an identity that does not name it.')
    .argument('<did or handle>', 'did:plc:..., or a handle such as alice.example.com, which DNS or its web server is asked for')
    .option('--data', 'its keys, names and services instead')
    .option('--log', 'its operations in effect instead')
    .option('--audit', 'all its operations instead, nullified ones included')
  return addVerifyOptions(resolve)
    .addHelpText(
      'after',
      '\nExamples:\n  $ stele resolve did:plc:ewvi7nxzyoun6zhxrhs64oiz --data\n  $ stele resolve alice.example.com\n' +
        '  $ stele resolve alice.example.com --verify --policy witnesses.policy\n' +
        '  $ stele resolve alice.example.com --verify --level latest --policy map.policy --max-age 60s',
    )
    .action(async (text: string, options: VerifyOptions & { data?: true; log?: true; audit?: true }, command: Command) => {
      const handle = text.startsWith('did:') ? null : parseHandle(text)
      if (handle === null) requireIdentifier(text)
      if ([options.data, options.log, options.audit, options.verify].filter((chosen) => chosen).length > 1) throw new UsageError('--data, --log, --audit and --verify exclude each other')
      const stray = (['level', 'policy', 'vkey', 'mapVkey', 'maxAge', 'from', 'agree'] as const).find((name) => options[name] !== undefined)
      if (stray !== undefined && !options.verify) throw new UsageError(`--${stray.replace(/[A-Z]/, (letter) => `-${letter.toLowerCase()}`)} goes with --verify`)
      const claimed = handle === null ? null : await resolveHandle(handle, lookup)
      const asked = claimed?.did ?? text
      if (options.verify) {
        const { absent, document, data } = await resolveVerified(asked, options, command)
        if (absent) throw new RefusedError(`${asked} is nowhere in the log: nobody has registered it`)
        if (claimed !== null) compareHandle(claimed, data?.alsoKnownAs ?? [])
        if (document === null) throw new RefusedError(`${asked} was ended with a tombstone: it has no document`)
        return printJson(document)
      }
      const directory = directoryOf(command)
      if (claimed !== null) compareHandle(claimed, namesIn(parseJson(await directory.document(asked))))
      if (options.data) printJson(await directory.data(asked))
      else if (options.log) printJson(await directory.operationLog(asked))
      else if (options.audit) printJson(await directory.auditLog(asked))
      else printJson(await directory.document(asked))
    })
}

/** The DID in an argument. Throws UsageError for anything else. */
export function requireDid(text: string): string {
  if (isDid(text)) return text
  if (text.startsWith('did:web:')) throw new UsageError(`${text} is a did:web, a document on a web server: only did:plc identifiers are in a directory`)
  throw new UsageError(`${text} is not a did:plc identifier: did:plc: and 24 letters a-z or digits 2-7`)
}

function requireIdentifier(text: string): void {
  if (!text.startsWith('did:')) throw new UsageError(`${text} is neither a did:plc identifier nor a handle such as alice.example.com`)
  requireDid(text)
}

// A handle is its owner's claim until the identity claims it too.
function compareHandle({ handle, did, by }: ResolvedHandle, names: readonly string[]): void {
  const named = handleOf(names)
  if (named?.toLowerCase() === handle) {
    say(`${handle} is ${did} (by ${by}), and the identity names this handle: both agree`)
  } else if (names.some((name) => name.toLowerCase() === `at://${handle}`)) {
    say(`${handle} is ${did} (by ${by}), and the identity names it, though ${show(named ?? '')} is its handle`)
  } else {
    say(`warning: ${handle} leads to ${did} (by ${by}), but the identity ${named === null ? 'names no handle' : `names the handle ${show(named)}`}: do not take one for the other`)
    process.exitCode = EXIT.remarks
  }
}

function namesIn(document: unknown): readonly string[] {
  const names: unknown = typeof document === 'object' && document !== null && 'alsoKnownAs' in document ? document.alsoKnownAs : null
  return Array.isArray(names) ? names.filter((name) => typeof name === 'string') : []
}
