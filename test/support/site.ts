// A log as an operator keeps it, with what backups of it look like: databases and state folders that are copied, lost
// and brought back.

import { createHash } from 'node:crypto'
import { cpSync, existsSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { renderJson } from '../../src/core/encoding/json.ts'
import { inDatabase, startTestServer, type Place } from '../storage/server.ts'
import { get } from './observe.ts'
import { person } from './people.ts'
import { newHome, type Ended, type Home, type Started } from './program.ts'

export const SITE_ORIGIN = 'directory.example/log'

/** Flags and state folder of a process. */
export interface Where {
  /** Name of a database. */
  readonly database: string
  /** Name of a state folder. */
  readonly state: string
}

/** A process that serves. */
export interface Serving {
  readonly url: string
  readonly started: Started
  /** Makes an identity for each name, and waits for the checkpoint that covers them. */
  write(...names: readonly string[]): Promise<void>
  /** Ends it with SIGTERM. */
  stop(): Promise<Ended>
}

export interface Site extends AsyncDisposable {
  readonly home: Home
  /** Runs a command to its end, on a database and a state folder. */
  run(where: Where, ...args: readonly string[]): Promise<Ended>
  /** Starts a directory; throws with its stderr where it does not serve. */
  serve(where: Where, flags?: readonly string[], env?: Record<string, string>): Promise<Serving>
  /** A copy of a database and a state folder, under a new name. */
  copy(from: Where, name: string): Promise<Where>
  /** Puts the database `from` in the place of `to` while others are connected to it. */
  replaceDatabase(to: string, from: string): Promise<void>
  createDatabase(name: string): Promise<void>
  /** Everything that the database and the guard say of the log, to be compared. */
  fingerprint(where: Where): Promise<string>
  stateFile(state: string, name: 'guard.sqlite' | 'log.key'): string
  /** A text of the program with its folders as an operator has them: /srv/stele, and /var/lib for state. */
  generic(text: string): string
}

/** An empty PostgreSQL server and a folder. */
export async function openSite(): Promise<Site> {
  const home = newHome()
  const server = await startTestServer()
  const place = { ...(await server.empty()), database: 'postgres' }
  const admin = (text: string): Promise<unknown> => inDatabase(place, text)
  const urlOf = (database: string): string => `postgres://${place.user}@localhost/${database}?host=${place.host}`
  const stateFolder = (state: string): string => join(home.folder, 'states', state)
  const stateFile: Site['stateFile'] = (state, name) => join(stateFolder(state), 'stele', encodeURIComponent(SITE_ORIGIN), name)
  const environment = ({ database, state }: Where): Record<string, string> => ({ STELE_DATABASE_URL: urlOf(database), XDG_STATE_HOME: stateFolder(state) })

  async function serve(where: Where, flags: readonly string[] = [], env: Record<string, string> = {}): Promise<Serving> {
    const started = home.start(['serve', '--port', '0', '--checkpoint-interval', '20ms', ...flags], { ...environment(where), ...env })
    const url = (await started.line).slice('stele listening on '.length)
    return {
      url,
      started,
      write: (...names) => write(url, names),
      async stop() {
        started.child.kill('SIGTERM')
        return started.ended
      },
    }
  }

  return {
    home,
    serve,
    run: (where, ...args) => home.run(args, { env: environment(where) }),
    async copy(from, name) {
      await admin(`create database "${name}" template "${from.database}"`)
      if (existsSync(stateFolder(from.state))) cpSync(stateFolder(from.state), stateFolder(name), { recursive: true })
      return { database: name, state: name }
    },
    async replaceDatabase(to, from) {
      await admin(`alter database "${to}" allow_connections false`)
      await admin(`select pg_terminate_backend(pid) from pg_stat_activity where datname = '${to}'`)
      await admin(`drop database "${to}" with (force)`)
      await admin(`alter database "${from}" rename to "${to}"`)
    },
    async createDatabase(name) {
      await admin(`create database "${name}"`)
    },
    async fingerprint({ database, state }) {
      const guard = stateFile(state, 'guard.sqlite')
      const whole = JSON.stringify([await contents({ ...place, database }), existsSync(guard) ? readFileSync(guard, 'hex') : null])
      return createHash('sha256').update(whole).digest('hex')
    },
    stateFile,
    generic: (text) => text.replaceAll(/[^\s'(]*\/states\/[^/\s]+/g, '/var/lib').replaceAll(home.folder, '/srv/stele'),
    async [Symbol.asyncDispose]() {
      home[Symbol.dispose]()
      await server[Symbol.asyncDispose]()
      rmSync(home.folder, { recursive: true, force: true })
    },
  }
}

async function contents(place: Place): Promise<unknown> {
  const tables = await inDatabase(place, "select tablename::text as name from pg_tables where schemaname = 'public' and tablename not like 'kysely%' order by 1")
  const rows = await Promise.all(tables.map(({ name }) => inDatabase(place, `select '${String(name)}', t::text from "${String(name)}" t order by 2`)))
  return rows.flat()
}

async function write(url: string, names: readonly string[]): Promise<void> {
  for (const name of names) {
    const { did, genesis } = person(name, 1)
    const response = await fetch(`${url}/${did}`, {
      method: 'POST',
      body: renderJson(genesis.value),
      headers: { 'Content-Type': 'application/json', Prefer: 'wait=10' },
    })
    if (response.status !== 200) throw new Error(`${response.status}: ${await response.text()}`)
    await get(`${url}/${did}/log/${genesis.cid}/proof`)
  }
}
