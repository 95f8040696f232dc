// Built-ins that tell types, convert to and from text forms, and make times.

import { toJson, toText } from '../format.ts';
import { parseDuration, timeOf, zoneOf } from '../time.ts';
import { parseTime } from '../time-layout.ts';
import { any, duration, string, type Type, time, zone } from '../types.ts';
import { fail, kindOf, Time, type Value, wantText, Zone } from '../values.ts';
import { type Builtin, overloads } from './define.ts';

/** Time zones are slow to ask for, so that what does is to read the clock often. */
const zoneSteps = 512;

const typeNames: Readonly<Record<string, string>> = {
  list: 'array',
  bytes: 'array',
  time: 'time.Time',
  duration: 'time.Duration',
  month: 'time.Month',
  weekday: 'time.Weekday',
  zone: 'time.Location',
  function: 'func',
};

export const others: Readonly<Record<string, Builtin>> = {
  type: {
    check: overloads([[any], string]),
    run: ([value]) => typeNames[kindOf(value)] ?? kindOf(value),
  },
  string: { check: overloads([[any], string]), run: ([value], { budget }) => toText(value, budget) },
  toJSON: { check: overloads([[any], string]), run: ([value], { budget }) => toJson(value, budget) },
  fromJSON: {
    check: overloads([[string], any]),
    run: ([value], { budget }) => {
      const text = wantText(value, 'fromJSON');
      budget.text(text.length);
      budget.grow(text.split(/[,[{]/).length);
      try {
        return JSON.parse(text) as Value;
      } catch {
        return fail('fromJSON takes a string with JSON');
      }
    },
  },
  toBase64: {
    check: overloads([[string], string]),
    run: ([value], { budget }) => {
      const text = wantText(value, 'toBase64');
      budget.text(text.length * 2);
      return Buffer.from(text).toString('base64');
    },
  },
  fromBase64: {
    check: overloads([[string], string]),
    run: ([value], { budget }) => {
      const text = wantText(value, 'fromBase64').replace(/[\r\n]/g, '');
      budget.text(text.length);
      if (!/^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(text))
        return fail('fromBase64 takes base64, with its padding');
      return Buffer.from(text, 'base64').toString();
    },
  },
  now: {
    check: (args) =>
      args.length === 0 || (args.length === 1 && args[0]?.kind === 'zone') ? time : 'now takes nothing, or a time zone',
    run: ([place], { now }) => new Time(timeOf(now).nanoseconds, place instanceof Zone ? place : timeOf(now).zone),
  },
  duration: { check: overloads([[string], duration]), run: ([value]) => parseDuration(wantText(value, 'duration')) },
  date: {
    check: (args: readonly Type[]) => {
      const rest = args[0]?.kind === 'zone' ? args.slice(1) : args;
      return args.length < 1 || rest.length > 3 ? `date takes a string, and perhaps a layout and a time zone` : time;
    },
    run: (args, { budget }) => {
      budget.spend(zoneSteps);
      const place = args[0] instanceof Zone ? args[0] : undefined;
      const [value, layout, name] = place ? args.slice(1) : args;
      return parseTime(
        wantText(value, 'date'),
        layout === undefined ? undefined : wantText(layout, 'date'),
        name === undefined ? place : zoneOf(wantText(name, 'date')),
      );
    },
  },
  timezone: {
    check: overloads([[string], zone]),
    run: ([value], { budget }) => {
      budget.spend(zoneSteps);
      return zoneOf(wantText(value, 'timezone'));
    },
  },
};
