/** Starts the four sections of the page. */
import { startAttentionView } from './attention-view.ts';
import { startCostView } from './cost-view.ts';
import { startPatternView } from './pattern-view.ts';
import { startReceptiveFieldView } from './receptive-field-view.ts';
import { sample } from './sample.ts';

const section = (id: string): Element => document.getElementById(id)!;

startPatternView(section('patterns'));
startReceptiveFieldView(section('receptive-field'));
startAttentionView(section('attention'), sample);
startCostView(section('cost'));
