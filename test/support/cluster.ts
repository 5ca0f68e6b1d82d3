// One log, one database, three processes: a signer, an accepter and a reader, as an operator starts them.

import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { readPostmaster } from '../../src/storage/embedded/postmaster.ts'
import { startEmbedded } from '../../src/storage/embedded.ts'
import { inDatabase, silent, type Place } from '../storage/server.ts'
import { layCable, type Cable } from './cable.ts'
import { newHome, type Ended, type Home, type Started } from './program.ts'

/** What a process of the cluster does. */
export type Role = 'signer' | 'accepter' | 'reader'

/** A process of the cluster, at one address however often it is started again. */
export interface Member {
  readonly role: Role
  readonly url: string
  /** How the process that runs now ends; a promise that a new start replaces. */
  readonly ended: Promise<Ended>
  /** Ends it with SIGKILL; resolves when it is gone. */
  kill(): Promise<void>
  /** Starts it again; resolves when it serves. */
  start(): Promise<void>
  /** Ends it with SIGTERM. */
  stop(): Promise<Ended>
}

export interface Cluster extends AsyncDisposable {
  readonly home: Home
  readonly members: Readonly<Record<Role, Member>>
  /** The flags that name the database, for commands that run beside the processes. */
  readonly database: readonly string[]
  /** The log's verifier key: a file. */
  readonly vkey: string
  /** Between each process and the database, where it is reached through a connection string. */
  readonly cables: Readonly<Record<Role, Cable>> | null
  /** Ends the PostgreSQL server with SIGKILL. */
  killDatabase(): Promise<void>
  /** Statements of an administrator who goes to the server by his own way. */
  ask(text: string): Promise<Record<string, unknown>[]>
}

const ROLES: readonly Role[] = ['signer', 'accepter', 'reader']
const ROLE_FLAGS: Readonly<Record<Role, readonly string[]>> = { signer: [], accepter: ['--accept-only'], reader: ['--read-only'] }
const SERVE = ['serve', '--checkpoint-interval', '50ms', '--write-rate', '0', '--read-rate', '0'] as const

/** Three processes on one data folder, whose embedded server they share and keep alive. */
export async function clusterOnFolder(): Promise<Cluster> {
  const home = newHome()
  const dataFolder = join(home.folder, 'data', 'postgres', 'data')
  const database = ['--data', 'data']
  return startMembers(home, {
    home,
    database,
    vkey: join(home.folder, 'data', 'log.vkey'),
    cables: null,
    databaseOf: () => database,
    connection: () => placeOf(dataFolder),
    async [Symbol.asyncDispose]() {
      const left = await readPostmaster(dataFolder)
      if (left !== null) process.kill(left.pid, 'SIGQUIT')
      if (left?.host.startsWith('/')) rmSync(left.host, { recursive: true, force: true })
    },
  })
}

/** Three processes on one PostgreSQL server, each at the end of a cable of its own. */
export async function clusterOnServer(): Promise<Cluster> {
  const home = newHome()
  const server = await startEmbedded({ dataDir: join(home.folder, 'server'), log: silent })
  const { host, port, user, database } = server.connection
  const urlOf = (cable: Cable): readonly string[] => ['--database-url', `postgres://${user}@127.0.0.1:${cable.port}/${database}`]
  const [signer, accepter, reader] = [await layCable({ host, port }), await layCable({ host, port }), await layCable({ host, port })]
  const cables = { signer, accepter, reader }
  const { code, stderr } = await home.run(['init', '--origin', 'cluster.test/log', '--data', 'data', ...urlOf(signer)])
  if (code !== 0) throw new Error(stderr)
  return startMembers(home, {
    home,
    database: urlOf(signer),
    vkey: join(home.folder, 'data', 'log.vkey'),
    cables,
    databaseOf: (role) => ['--data', 'data', ...urlOf(cables[role])],
    connection: () => Promise.resolve(server.connection),
    async [Symbol.asyncDispose]() {
      for (const cable of Object.values(cables)) await cable[Symbol.asyncDispose]()
      await server[Symbol.asyncDispose]()
    },
  })
}

interface Ground extends AsyncDisposable, Pick<Cluster, 'home' | 'database' | 'vkey' | 'cables'> {
  databaseOf(role: Role): readonly string[]
  connection(): Promise<Place>
}

async function startMembers(home: Home, ground: Ground): Promise<Cluster> {
  const { database, vkey, cables } = ground
  const started: Member[] = []
  const end = async (): Promise<void> => {
    for (const member of started) await member.stop()
    await ground[Symbol.asyncDispose]()
    home[Symbol.dispose]()
  }
  try {
    for (const role of ROLES) started.push(await startMember(home, role, [...SERVE, ...ROLE_FLAGS[role], ...ground.databaseOf(role)]))
  } catch (error) {
    await end()
    throw error
  }
  const memberOf = (role: Role): Member => {
    const member = started.find((member) => member.role === role)
    if (member === undefined) throw new Error(`no ${role}`)
    return member
  }
  return {
    home,
    members: { signer: memberOf('signer'), accepter: memberOf('accepter'), reader: memberOf('reader') },
    database,
    vkey,
    cables,
    async killDatabase() {
      const [row] = await inDatabase(await ground.connection(), 'show data_directory')
      const file = await readPostmaster(String(row?.['data_directory']))
      if (file === null) throw new Error('no server runs')
      process.kill(file.pid, 'SIGKILL')
    },
    ask: async (text) => inDatabase(await ground.connection(), text),
    [Symbol.asyncDispose]: end,
  }
}

async function startMember(home: Home, role: Role, args: readonly string[]): Promise<Member> {
  let running: Started
  let port = '0'
  const start = async (): Promise<string> => {
    running = home.start([...args, '--port', port])
    const line = await running.line
    return line.slice('stele listening on '.length)
  }
  const url = await start()
  port = new URL(url).port
  return {
    role,
    url,
    get ended() {
      return running.ended
    },
    async kill() {
      running.child.kill('SIGKILL')
      await running.ended
    },
    async start() {
      await start()
    },
    async stop() {
      running.child.kill('SIGTERM')
      return running.ended
    },
  }
}

// The embedded server of a folder: it may be starting again just now.
async function placeOf(dataFolder: string): Promise<Place> {
  for (let attempt = 0; attempt < 200; attempt++) {
    const file = await readPostmaster(dataFolder)
    const place = file === null ? null : { host: file.host, port: file.port, user: 'stele', database: 'stele' }
    if (place !== null && (await inDatabase(place, 'select 1').then(() => true, () => false))) return place
    await sleep(50)
  }
  throw new Error('the embedded server does not come back')
}
