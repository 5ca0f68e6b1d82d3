// `stele signer`: who signs for the log, and how that right moves. spec/log.md#signer, docs/operations.md

import { readFileSync } from 'node:fs'
import { Command } from 'commander'
import { httpTileReader } from '../client/tile-reader.ts'
import { readHeld } from '../client/witness-held.ts'
import { readConfig, UsageError, type Config } from '../config.ts'
import { verdictOf } from '../core/errors.ts'
import { mapOrigin } from '../core/map/map-leaf.ts'
import { formatVerifierKey, parseSigningKey, type SigningKey } from '../core/tlog/note.ts'
import { parsePolicy } from '../core/tlog/policy.ts'
import { GuardError, openGuard } from '../log/guard.ts'
import { wordsForKey } from '../log/open-log.ts'
import { addKey, retireKey, type KeyChange } from '../log/rotation.ts'
import { adoptSigner, formatHandOver, handOver, parseHandOver, takeOver } from '../log/signer.ts'
import { policyOfMap } from '../mapping.ts'
import { openWitnesses } from '../signing.ts'
import { mapFiles, randomGuardId, readKeys, stateFiles, writeKeys, type StateFiles } from '../state-files.ts'
import type { Publication, SignedLog } from '../storage/store.ts'
import { openLogLines } from '../system.ts'
import { openDatabase, requireHead } from './database.ts'
import { RefusedError } from './exit.ts'
import { addSettings, collect, flagsOf, SIGNER_SETTINGS } from './options.ts'
import { writeSecretFile } from '../secret-file.ts'
import { print, say } from './terminal.ts'

/** The command, with a subcommand for each step. */
export function signerCommand(): Command {
  return new Command('signer')
    .description("Who signs for the log, and with which keys: show it, hand it over to another machine, adopt it where the guard is lost, add a key, retire one. Exactly one process signs, the one that holds the database's guard.")
    .addCommand(showCommand())
    .addCommand(handOverCommand())
    .addCommand(takeOverCommand())
    .addCommand(adoptCommand())
    .addCommand(addKeyCommand())
    .addCommand(retireKeyCommand())
    .addHelpText('after', '\nExample:\n  $ stele signer show --data ./data')
}

/** A log that is signed: the directory's own, or that of its map. */
interface OwnLog extends StateFiles {
  readonly store: SignedLog
  readonly origin: string
  readonly config: Config
}

const MAP_HELP = "about the log of the map, which has a key and a guard of its own, instead of the log"

function showCommand(): Command {
  return addSettings(new Command('show'), SIGNER_SETTINGS)
    .description('Print what the database and the guard on this machine say of the signer.')
    .option('--map', MAP_HELP)
    .addHelpText('after', '\nExample:\n  $ stele signer show --data ./data')
    .action((_options, command: Command) =>
      withLog(command, async ({ store, origin, guardFile }) => {
        const [head, publication] = [await store.head(), await store.publication()]
        print(`log        ${origin}`)
        print(`entries    ${head?.size}, published ${publication?.size ?? 'none'}`)
        print(`signer     guard ${head?.guardId}`)
        for (const vkey of head?.vkeys ?? []) print(`signs      ${vkey}`)
        print(`this host  ${describeGuard(guardFile, origin)}`)
      }),
    )
}

function handOverCommand(): Command {
  return addSettings(new Command('hand-over'), SIGNER_SETTINGS)
    .description('On the machine that signed until now, its directory stopped: retire the guard, and write what the next signer must know.')
    .requiredOption('--out <file>', 'where the hand-over goes; never overwritten')
    .option('--map', MAP_HELP)
    .addHelpText('after', '\nExample:\n  $ stele signer hand-over --data ./data --out log.hand-over\n  $ stele signer hand-over --data ./data --map --out map.hand-over')
    .action((options: { out: string }, command: Command) =>
      withLog(command, ({ origin, guardFile }) => {
        handOver(guardFile, origin, randomGuardId(), (record) => writeSecretFile(options.out, formatHandOver(record).trimEnd()))
        say(`this machine signs no more for ${origin}. Move ${options.out} and the key to the next one, and run there: stele signer take-over`)
        return Promise.resolve()
      }),
    )
}

function takeOverCommand(): Command {
  return addSettings(new Command('take-over'), SIGNER_SETTINGS)
    .description('On the machine that shall sign from now on, with the key in place: make the guard of a hand-over, and name it in the database.')
    .argument('<file>', 'what `stele signer hand-over` wrote')
    .option('--map', MAP_HELP)
    .addHelpText('after', '\nExample:\n  $ stele signer take-over log.hand-over --key log.key --database-url postgres://localhost/stele')
    .action((file: string, _options, command: Command) =>
      withLog(command, async ({ store, keyFile, guardFile }) => {
        const record = parseHandOver(readFileSync(file, 'utf8'))
        await takeOver(store, readKeys(keyFile, record.origin), guardFile, record)
        say(`this machine signs for ${record.origin}: its guard is ${guardFile}`)
      }),
    )
}

function adoptCommand(): Command {
  return addSettings(new Command('adopt'), [...SIGNER_SETTINGS, 'policy'])
    .description(
      'Where the guard is lost for ever: make a new one. It remembers the largest checkpoint that is published, named here, or held by a witness of the policy, and nothing that was signed after it, so ask everybody who may hold a newer one (mirrors) first.',
    )
    .requiredOption('--guard-is-lost', 'says that no machine holds the old guard any more')
    .option('--checkpoint <url or file>', 'a checkpoint that somebody else holds; can be repeated', collect)
    .option('--map', MAP_HELP)
    .addHelpText('after', '\nExample:\n  $ stele signer adopt --guard-is-lost --checkpoint https://mirror.example --policy policy --key log.key\n  $ stele signer adopt --guard-is-lost --map --checkpoint https://mirror.example --policy policy')
    .action((options: { checkpoint?: readonly string[]; map?: true }, command: Command) =>
      withLog(command, async ({ store, origin, keyFile, guardFile, config }) => {
        const keys = readKeys(keyFile, origin)
        const notes = await Promise.all((options.checkpoint ?? []).map((place) => readNote(place, options.map === true)))
        const { size } = await adoptSigner(store, keys, guardFile, origin, randomGuardId(), [...notes, ...(await heldByWitnesses(config, origin, keys))])
        say(`this machine signs for ${origin}: the new guard ${guardFile} remembers the checkpoint of size ${size}`)
      }),
    )
}

function addKeyCommand(): Command {
  return addSettings(new Command('add-key'), SIGNER_SETTINGS)
    .description('With the directory stopped: have one more key sign every checkpoint, beside those that do. The log says so in a statement that all of them sign (GET /log/keys, or with --map GET /map/keys).')
    .argument('<file>', 'the secret, as `stele keygen log ORIGIN --out FILE` writes it; it is copied into the key file of the log')
    .option('--map', MAP_HELP)
    .addHelpText('after', '\nExample:\n  $ stele keygen log directory.example/log --type ml-dsa-44 --out second.key\n  $ stele signer add-key second.key --data ./data')
    .action((file: string, options: { map?: true }, command: Command) =>
      withKeys(command, async (change) => {
        const added = readSecret(file)
        await addKey(change, added)
        say(`${wordsForKey(added)} signs from now on. Start the directory; give the new key to witnesses and to whoever relies on the log: stele keys${options.map === true ? ' --map' : ''}`)
        print(formatVerifierKey(added))
      }),
    )
}

function retireKeyCommand(): Command {
  return addSettings(new Command('retire-key'), [...SIGNER_SETTINGS, 'policy'])
    .description('With the directory stopped: have a key sign no more. Every witness of the policy must accept a checkpoint without its signature first. Its secret is removed from the key file.')
    .argument('<id>', 'the 8 digits after the name of the key')
    .option('--without-witnesses', 'says that nobody has to be asked, in place of a --policy')
    .option('--map', MAP_HELP)
    .addHelpText('after', '\nExample:\n  $ stele signer retire-key 1cc758f9 --policy policy --data ./data')
    .action((id: string, options: { withoutWitnesses?: true; map?: true }, command: Command) =>
      withKeys(command, async (change, config) => {
        if ((config.policyFile === null) !== (options.withoutWitnesses === true)) throw new UsageError('name the witnesses that must accept the keys that remain, by --policy, or say --without-witnesses')
        await retireKey(change, id, (publication, remaining) => askWitnesses(change, config, options.map === true, publication, remaining))
        say(`${id} signs no more. Start the directory; take the key out of policies and from witnesses, and destroy every copy of its secret`)
      }),
    )
}

// What each witness of the policy says that it holds. Where one does not say, what it has seen is not known, and might be newer than all else.
async function heldByWitnesses({ policyFile }: Config, origin: string, keys: readonly SigningKey[]): Promise<string[]> {
  const witnesses = policyFile === null ? [] : parsePolicy(readFileSync(policyFile, 'utf8')).witnesses
  const held = await Promise.all(witnesses.map((witness) => readHeld(witness, origin, keys, {})))
  const unknown = held.filter(({ standing }) => standing === 'silent' || standing === 'invalid')
  if (unknown.length > 0) {
    throw new RefusedError(`not every witness says what it holds of ${origin} (${unknown.map(({ witness, words }) => `${witness.name}: ${words}`).join('; ')}). Nothing was changed. Where one is gone for good, leave it out of the policy`)
  }
  return held.flatMap(({ note }) => (note === null ? [] : [note]))
}

// Each is offered the published checkpoint with the signatures of the keys that remain, and no other.
async function askWitnesses({ store, guard }: KeyChange, config: Config, ofMap: boolean, publication: Publication, remaining: readonly SigningKey[]): Promise<void> {
  const settings = { ...config, witnessRates: new Map<string, number>() }
  const witnesses = openWitnesses(store, settings, guard, remaining, openLogLines('silent'), ofMap ? policyOfMap : undefined)
  if (witnesses === null) return
  try {
    await witnesses.ask(publication)
    const refusals = witnesses.report().witnesses.flatMap(({ name, refusal }) => (refusal === null ? [] : [`${name}: ${refusal}`]))
    if (refusals.length > 0) throw new RefusedError(`not every witness accepts a checkpoint without this key (${refusals.join('; ')}). Nothing was changed`)
  } finally {
    await witnesses.stop()
  }
}

/** Runs `work` while this process holds the guard, so that no directory signs. */
function withKeys(command: Command, work: (change: KeyChange, config: Config) => Promise<void>): Promise<void> {
  return withLog(command, async ({ store, origin, keyFile, guardFile, config }) => {
    using guard = openGuard(guardFile, origin)
    await work({ store, guard, keys: readKeys(keyFile, origin), keep: (keys) => writeKeys(keyFile, keys) }, config)
  })
}

function readSecret(file: string): SigningKey {
  const { value } = verdictOf(() => parseSigningKey(readFileSync(file, 'utf8').trim()))
  if (value === null) throw new UsageError(`${file} does not hold one signing key (PRIVATE+KEY+...)`)
  return value
}

async function withLog(command: Command, work: (log: OwnLog) => Promise<void>): Promise<void> {
  const config = readConfig(flagsOf(command))
  await using database = await openDatabase(config)
  const { store } = database
  const { origin } = await requireHead(store)
  if (command.opts<{ map?: true }>().map !== true) return await work({ store, origin, ...stateFiles(config, origin), config })
  if ((await store.map.head()) === null) throw new UsageError('this database holds no map: `stele serve` begins one')
  await work({ store: store.map, origin: mapOrigin(origin), ...mapFiles(config, origin), config })
}

function describeGuard(path: string, origin: string): string {
  try {
    using guard = openGuard(path, origin)
    return `guard ${guard.id}, last signed size ${guard.last().size} (${path})`
  } catch (error) {
    if (error instanceof GuardError) return error.message
    throw error
  }
}

function readNote(place: string, ofMap: boolean): Promise<string> {
  if (/^https?:/.test(place)) return httpTileReader(ofMap ? `${place.replace(/\/+$/, '')}/map` : place).checkpoint()
  try {
    return Promise.resolve(readFileSync(place, 'utf8'))
  } catch (error) {
    throw new UsageError(`--checkpoint: ${error instanceof Error ? error.message : String(error)}`)
  }
}
