// What befalls a cluster under load: each fault strikes, and is over when operations are acknowledged again.

import { setTimeout as sleep } from 'node:timers/promises'
import type { Cluster, Role } from './cluster.ts'
import type { Load } from './load.ts'

/** Strikes once. */
export type Fault = (cluster: Cluster, load: Load) => Promise<void>

const RECOVERY_MS = 60_000

/** SIGKILL of a process, which its operator starts again. */
export function killMember(role: Role): Fault {
  return async ({ members }, load) => {
    await members[role].kill()
    await members[role].start()
    await load.progress(10, RECOVERY_MS)
  }
}

/** SIGTERM to a process, which has to end in order, and is started again. */
export function stopMember(role: Role): Fault {
  return async ({ members }, load) => {
    const { code, stderr } = await members[role].stop()
    if (code !== 0) throw new Error(`the ${role} ended with ${code}: ${stderr}`)
    await members[role].start()
    await load.progress(10, RECOVERY_MS)
  }
}

/** All processes and the database end at once, as where the machine loses its power; the processes are started again. */
export const killEverything: Fault = async (cluster, load) => {
  const members = Object.values(cluster.members)
  await Promise.all([cluster.killDatabase(), ...members.map((member) => member.kill())])
  for (const member of members) await member.start()
  await load.progress(10, RECOVERY_MS)
}

/** SIGKILL of the embedded database's server, which has to come back by itself. */
export const killDatabase: Fault = async (cluster, load) => {
  await cluster.killDatabase()
  await load.progress(10, RECOVERY_MS)
}

/** An administrator ends every session but his own. */
export const endSessions: Fault = async (cluster, load) => {
  await cluster.ask("select pg_terminate_backend(pid) from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid()")
  await load.progress(10, RECOVERY_MS)
}

/** The network between one process and the database is cut, or carries nothing for a while. */
export const cutNetwork: Fault = async ({ cables }, load) => {
  const cable = cables?.[pick(['signer', 'accepter', 'reader'])]
  if (pick([true, false])) cable?.cut()
  else await cable?.stall(300)
  await load.progress(10, RECOVERY_MS)
}

/** The connection is cut while a commit is on its way there, or its reply on its way back. */
export const cutCommit: Fault = async ({ cables }, load) => {
  await cables?.[pick(['signer', 'accepter'])].strike(pick(['lose request', 'lose reply']))
  await load.progress(10, RECOVERY_MS)
}

/** The reply to a commit never comes, on a connection that stays open. */
export const swallowReply: Fault = async ({ cables }, load) => {
  await cables?.[pick(['signer', 'accepter'])].strike('silence')
  await load.progress(10, RECOVERY_MS)
}

/** Lets a fault strike again and again, with some work between. Returns how often it did. */
export async function strike(times: number, fault: Fault, cluster: Cluster, load: Load): Promise<number> {
  for (let n = 0; n < times; n++) {
    await load.progress(1 + Math.floor(Math.random() * 20), RECOVERY_MS)
    await sleep(Math.random() * 60)
    await fault(cluster, load)
  }
  return times
}

function pick<T extends string | boolean>(values: readonly [T, ...T[]]): T {
  return values[Math.floor(Math.random() * values.length)] ?? values[0]
}
