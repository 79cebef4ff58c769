import { Module } from '@nestjs/common';
import { HandledController } from './handled.controller.js';

@Module({ controllers: [HandledController] })
export class HandledModule {}
