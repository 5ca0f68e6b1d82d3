// As whom the server runs. PostgreSQL refuses to be root, which is what people are in containers and on new machines.

import { chown, lstat, readdir, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { EmbeddedError, OR_ANOTHER_SERVER, runProgram, type Account, type Programs } from './programs.ts'

const OURSELVES: Account = { prefix: [], owner: null, changesUser: false }

/** `nobody`, who owns nothing else. */
const NOBODY = 65_534

/**
 * Chooses the account for the data in `dataFolder` (which need not exist) and checks that it can run the programs.
 * As root: in a user namespace, where root is nobody in particular and may still read what is root's; else as the
 * folder's owner, or nobody, with the right to pass closed folders; else as that user, plainly. The folder's owner
 * remembers the choice. Throws EmbeddedError, which says what to do, where nothing works.
 */
export async function chooseAccount(programs: Programs, dataFolder: string): Promise<Account> {
  const us = process.getuid?.()
  const owner = await ownerOf(dataFolder)
  if (us !== 0) {
    if (us !== undefined && owner !== null && owner !== us) {
      throw new EmbeddedError(
        `The database in ${dataFolder} belongs to user id ${owner} and this process runs as ${us}: run stele as that user or as root, give the folder away with chown, ${OR_ANOTHER_SERVER}.`,
      )
    }
    return OURSELVES
  }
  const refusals: string[] = []
  for (const account of candidates(owner)) {
    const refusal = await refusalOf(account, programs, dataFolder)
    if (refusal === null) return account
    refusals.push(refusal)
  }
  throw new EmbeddedError(
    `PostgreSQL refuses to run as root, and no way around it works here (${refusals.join('; ')}). Run stele as another user, ${OR_ANOTHER_SERVER} (DATABASE_URL).`,
  )
}

/** Gives a folder and all in it to the account, where it is another user than ours. */
export async function giveTo(account: Account, folder: string): Promise<void> {
  if (account.owner === null) return
  const { uid } = await lstat(folder)
  if (uid === account.owner) return
  for (const item of await readdir(folder, { withFileTypes: true })) {
    const path = join(folder, item.name)
    if (item.isDirectory()) await giveTo(account, path)
    else if (item.isFile()) await chown(path, account.owner, account.owner)
  }
  // Last, so that a folder given away half-way is recognised and done again.
  await chown(folder, account.owner, account.owner)
}

function candidates(owner: number | null): Account[] {
  const user = owner === null || owner === 0 ? NOBODY : owner
  const ids = ['--reuid', String(user), '--regid', String(user), '--clear-groups']
  const capability = ['--inh-caps', '+dac_override', '--ambient-caps', '+dac_override']
  return [
    ...(user === owner ? [] : [{ prefix: ['unshare', '--user'], owner: null, changesUser: false }]),
    { prefix: ['setpriv', ...ids, ...capability], owner: user, changesUser: false },
    { prefix: [], owner: user, changesUser: true },
  ]
}

async function refusalOf(account: Account, programs: Programs, dataFolder: string): Promise<string | null> {
  const words = account.prefix[0] ?? `changing to user id ${account.owner}`
  if (account.owner !== null) {
    // The programs look for themselves with access(2), which no capability helps.
    const closed = (await closedTo(programs.postgres)) ?? (account.changesUser ? await closedTo(dataFolder) : null)
    if (closed !== null) return `${words}: other users cannot pass ${closed}`
  }
  const { code, output } = await runProgram(account, programs.postgres, ['-V'], '/')
  return code === 0 ? null : `${words}: ${output.split('\n')[0]}`
}

/** The first folder above `path` that users other than its owner cannot pass; null for none. */
async function closedTo(path: string): Promise<string | null> {
  const parent = dirname(path)
  if (parent === path) return null
  const above = await closedTo(parent)
  if (above !== null) return above
  const { mode } = await stat(parent)
  return mode % 2 === 1 ? null : parent
}

async function ownerOf(path: string): Promise<number | null> {
  const found = await stat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null
    throw new EmbeddedError(`The folder ${path} cannot be looked into (${error.code}): run stele as its owner, ${OR_ANOTHER_SERVER}.`, { cause: error })
  })
  return found === null ? null : found.uid
}
