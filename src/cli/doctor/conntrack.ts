/** Whether connection tracking tells which backend of a service a connection met. */
import type { Obstacle } from '../../identity/conntrack/availability.ts';
import type { Finding } from './finding.ts';

export function conntrack(obstacle: Obstacle | undefined): Finding {
  const feature = 'connection tracking';
  if (!obstacle) return { feature, ok: true, detail: 'tells which backend of a service a connection met' };
  const { detail, harmless, mend = 'find out why, or set processors.identity.conntrack to false' } = obstacle;
  if (harmless) return { feature, ok: true, detail };
  const until = 'until then a logged connection to a service names what all its backends share';
  return { feature, ok: false, detail, mend: `${mend}; ${until}`, optional: true };
}
