import { beforeEach, describe, expect, it } from 'vitest';
import { type Subscriber, WantedNames } from '../../../../src/identity/sources/istiod/wanted-names.ts';
import { addressOf } from '../../../../src/semconv/address.ts';
import { FakeClock } from '../../fakes.ts';

let clock: FakeClock;
let said: string[];
let subscriber: Subscriber | undefined;
let wanted: WantedNames;
beforeEach(() => {
  clock = new FakeClock();
  said = [];
  subscriber = {
    subscribe: (names, again) => said.push(`subscribe ${[...names]}${again.size > 0 ? ` again ${[...again]}` : ''}`),
    unsubscribe: (names) => said.push(`unsubscribe ${names.size}`),
  };
  wanted = new WantedNames('net1', clock, () => subscriber);
});

describe('WantedNames', () => {
  it('asks for what comes together at once, each name once', () => {
    wanted.address(addressOf('10.0.0.1'));
    wanted.address(addressOf('10.0.0.1'));
    wanted.service('shop/web');
    expect(said).toEqual([]);
    clock.advance(100);
    wanted.address(addressOf('10.0.0.1'));
    wanted.address(addressOf('10.0.0.2'));
    clock.advance(100);
    expect(said).toEqual(['subscribe net1/10.0.0.1,shop/web', 'subscribe net1/10.0.0.2']);
    expect([...wanted.all()]).toEqual(['net1/10.0.0.1', 'shop/web', 'net1/10.0.0.2']);
  });

  it('asks again for an address that is missed after a while; not for a service', () => {
    wanted.address(addressOf('10.0.0.1'));
    wanted.service('shop/web');
    clock.advance(9_000);
    wanted.address(addressOf('10.0.0.1'));
    clock.advance(9_000);
    wanted.address(addressOf('10.0.0.1'));
    wanted.service('shop/web');
    clock.advance(100);
    expect(said).toEqual(['subscribe net1/10.0.0.1,shop/web', 'subscribe net1/10.0.0.1 again net1/10.0.0.1']);
  });

  it('asks for nothing that is on this machine alone', () => {
    for (const address of ['127.0.0.1', '::1', '']) wanted.address(addressOf(address));
    clock.advance(100);
    expect(said).toEqual([]);
  });

  it('keeps names for the stream that comes', () => {
    subscriber = undefined;
    wanted.address(addressOf('10.0.0.1'));
    clock.advance(100);
    expect([...wanted.all()]).toEqual(['net1/10.0.0.1']);
  });

  it('gives up the oldest names in a flood', () => {
    for (let i = 0; i < 70_000; i++) {
      wanted.address(addressOf(`10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`));
      if (i % 10_000 === 0) clock.advance(100);
    }
    clock.advance(100);
    const names = [...wanted.all()];
    expect(names).toHaveLength(65_536);
    expect(names).not.toContain('net1/10.0.0.0');
    expect(names.at(-1)).toBe(`net1/10.1.${(69_999 >> 8) & 255}.${69_999 & 255}`);
    expect(said.at(-1)).toBe(`unsubscribe ${70_000 - 65_536}`);
  });

  it('asks no more once it is closed', () => {
    wanted.address(addressOf('10.0.0.1'));
    wanted.close();
    clock.advance(100);
    expect(said).toEqual([]);
  });
});
