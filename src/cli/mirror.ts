// `stele mirror`: a log checked and served again, until a signal or a failure ends it. docs/operations.md#running-a-mirror

import { Command } from 'commander'
import { MIRROR_LIMITS } from '../../mirror/limits.ts'
import { startMirror, type MirrorConfig, type RunningMirror } from '../../mirror/start-mirror.ts'
import { readConfig, readHttpUrl, UsageError, type SettingName } from '../config.ts'
import { EXIT } from './exit.ts'
import { addNotaryOptions, readNotaryConfig, refuseNotaryOptions, serveNotary, type NotaryOptions } from './notary.ts'
import { addSettings, collect, flagsOf } from './options.ts'
import { startProgress, type Progress } from './progress.ts'
import { signalled } from './signalled.ts'
import { print, say } from './terminal.ts'
import { readVerifierKeys } from './verifier-keys.ts'

interface Options extends NotaryOptions {
  readonly upstreamVkey?: readonly string[]
  readonly mapVkey?: readonly string[]
  readonly cosign?: true | string
}

const MIRROR_SETTINGS = ['host', 'database-url', 'client-ip-header', 'read-rate', 'write-rate', 'max-cursor-age', 'withheld', 'metrics-port', 'log-level'] as const satisfies readonly SettingName[]

/** The command. */
export function mirrorCommand(): Command {
  return addNotaryOptions(addSettings(new Command('mirror'), MIRROR_SETTINGS))
    .description('Mirror a log: check every entry and every root, and serve all of it again.')
    .requiredOption('--upstream <url>', 'a directory or mirror that serves the log; can be repeated for further ones of the same log', collect)
    .option('--upstream-vkey <key or file>', "the log's verifier key (NAME+ID+BASE64), or a file with one a line; can be repeated (default: the one that is seen first)", collect)
    .option('--map-vkey <key or file>', "the verifier key of the log's map, or a file with one a line; can be repeated (default: the one that is seen first)", collect)
    .option('--forward-writes', 'pass submitted operations on to the upstream, rather than refuse them')
    .option('--cosign [name]', 'cosign what is verified and served here, and be asked for it as a witness; the name of the keys, for ever, is given at the first start: a host name and path, without a scheme (default: one that nobody else has)')
    .option('--port <number>', 'TCP port, 0 for any', '2583')
    .option('--data <folder>', 'folder of the embedded database, of evidence and of alarms', './mirror-data')
    .addHelpText('after', '\nExample:\n  $ stele mirror --upstream https://directory.example --upstream-vkey log.vkey\n  $ stele mirror --upstream https://plc.directory --plain --origin notary.example/plc\n\nSIGINT or SIGTERM ends it gracefully, a second one at once.')
    .action(async (options: Options, command: Command) => {
      process.exitCode = options.plain === true ? await serveNotary(readNotaryConfig(options, command)) : await serve(readMirrorConfig(options, command))
    })
}

function readMirrorConfig(options: Options, command: Command): MirrorConfig {
  refuseNotaryOptions(command)
  const flags = flagsOf(command)
  // A switch here, and an address for a directory.
  delete flags['forward-writes']
  const upstreams = [...new Set(options.upstream.map((url) => readHttpUrl('--upstream', url)))]
  if (upstreams.length > MIRROR_LIMITS.upstreams) throw new UsageError(`--upstream: more than ${MIRROR_LIMITS.upstreams} are too many`)
  const vkeys = options.upstreamVkey === undefined ? null : readVerifierKeys(options.upstreamVkey, '--upstream-vkey')
  const mapVkeys = options.mapVkey === undefined ? null : readVerifierKeys(options.mapVkey, '--map-vkey')
  return { ...readConfig(flags), upstreams, vkeys, mapVkeys, forwardWrites: options.forwardWrites === true, cosign: options.cosign === undefined ? null : { name: options.cosign === true ? null : options.cosign } }
}

async function serve(config: MirrorConfig): Promise<number> {
  const ended = signalled()
  const stop = new AbortController()
  const stopped = ended.then(() => stop.abort(new Error('ended by a signal')))
  const mirror = await start(config, stop.signal)
  if (mirror === null) return EXIT.ok
  print(`stele mirror listening on ${mirror.url}`)
  const [vkey] = mirror.cosignerVkeys
  if (vkey !== undefined) say(`it cosigns as ${vkey}, and with an ML-DSA-44 key beside: GET ${mirror.url}/vkeys`)
  const failure = await Promise.race([mirror.failed, stopped])
  if (failure instanceof Error) say(`error: the mirror has to stop: ${failure.message}`)
  await mirror[Symbol.asyncDispose]()
  return failure instanceof Error ? EXIT.failed : EXIT.ok
}

// null where it was ended before it served.
async function start(config: MirrorConfig, signal: AbortSignal): Promise<RunningMirror | null> {
  let progress: Progress | null = null
  let serves = false
  const onProgress = (done: number, of: number): void => {
    if (serves) return
    progress ??= startProgress('mirroring', 'entries', of)
    progress.update(done, of)
  }
  const close = (shown: Progress | null): void => shown?.[Symbol.dispose]()
  try {
    return await startMirror(config, { onProgress, say }, signal)
  } catch (error) {
    if (signal.aborted) return null
    throw error
  } finally {
    serves = true
    close(progress)
  }
}
