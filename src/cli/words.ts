// Errors in words for the person at the terminal: what happened and, where it is known, what to do.

import { RecoveryError } from '../../mirror/recover-log.ts'
import { UsageError } from '../config.ts'
import { CursorError } from '../client/cursor.ts'
import { HandleError } from '../client/handle.ts'
import { ServerError, UnreachableError } from '../client/request.ts'
import { WithheldError } from '../client/tile-reader.ts'
import { DirectoryError } from '../core/errors.ts'
import { ContradictionError } from '../log/consistency.ts'
import { HeadBehindError } from '../log/follow-head.ts'
import { GuardError } from '../log/guard.ts'
import { OpenLogError } from '../log/open-log.ts'
import { SplitViewError } from '../log/witnesses.ts'
import { EmbeddedError } from '../storage/embedded/programs.ts'
import { SchemaError } from '../storage/migrate.ts'
import { LogExistsError, NoLogError, StaleSignerError } from '../storage/store.ts'
import { WitnessError } from '../witness/witness-error.ts'
import { RefusedError } from './exit.ts'

/** Errors whose message is written for the operator. */
const OURS = [UsageError, RefusedError, CursorError, HandleError, DirectoryError, GuardError, ContradictionError, HeadBehindError, OpenLogError, RecoveryError, SplitViewError, StaleSignerError, EmbeddedError, SchemaError, WithheldError, WitnessError]

/** One sentence or two about an error, never a stack. */
export function wordsFor(error: unknown): string {
  if (error instanceof Error && OURS.some((kind) => error instanceof kind)) return error.message
  if (error instanceof UnreachableError) return `${error.message}. Is a directory serving there? \`stele serve\` starts one, --url names another`
  if (error instanceof ServerError) return `${error.url} answered ${error.status}: ${error.message}`
  if (error instanceof NoLogError) return 'the database holds no log yet: create it with `stele init --origin NAME`'
  if (error instanceof LogExistsError) return `${error.message}: \`stele serve\` serves it`
  if (error instanceof AggregateError && error.errors.length > 0) return wordsFor(error.errors[0])
  if (!(error instanceof Error)) return String(error)
  return systemWords(error) ?? `${error.message === '' ? error.name : error.message} (--log-level debug shows more)`
}

// What the operating system says of a file or a socket, with its path or address.
function systemWords(error: NodeJS.ErrnoException & { address?: string; port?: number; hostname?: string }): string | null {
  const at = error.path ?? [error.address, error.port].filter(Boolean).join(':')
  switch (error.code) {
    case 'ENOENT':
      return `there is no file ${at}`
    case 'EACCES':
    case 'EPERM':
      return `${at === '' ? 'something' : at} may not be read or written by this user`
    case 'EISDIR':
      return `${at === '' ? 'what was named' : at} is a folder, not a file`
    case 'EEXIST':
      return `${at} exists already, and is never overwritten`
    case 'EADDRINUSE':
      return `the address ${at} is in use: another program listens there, or another one of ours. --port chooses another`
    case 'EADDRNOTAVAIL':
      return `the address ${at} is none of this machine's: --host names one that is`
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return `no machine is known by the name ${error.hostname ?? ''}: check the name, in --database-url or --host, and the network`
    case 'ENOSPC':
      return `the disk is full${at === '' ? '' : `, at ${at}`}: make room and try again`
    case 'ECONNREFUSED':
      return `nothing answers at ${at}: check that the database is running, and --database-url`
    default:
      return null
  }
}
